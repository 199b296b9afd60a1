from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics

from fastreid.evaluation import ReidEvaluator, score_sketch
from fastreid.evaluation.bootstrap import IdentityBootstrap
from fastreid.evaluation.pair_scores import ScoreScale
from fastreid.evaluation.score_sketch import ScoreSketch

from .test_bootstrap import draws


def images(count=260, num_query=60):
    generator = torch.Generator().manual_seed(0)
    pids = torch.randint(0, 12, (count,), generator=generator)
    spread = torch.linspace(0.6, 2.5, 12)[pids]  # some identities are harder than others
    features = spread[:, None] * torch.randn(count, 6, generator=generator) + 2 * torch.eye(12, 6)[pids]
    return features, pids, torch.randint(0, 3, (count,), generator=generator), num_query


def test_intervals_of_area_and_equal_error_rate_are_those_of_resampled_identities():
    features, pids, camids, num_query = images()
    evaluator = ReidEvaluator(num_query=num_query, roc=True, resamples=200)
    evaluator.process({"targets": pids, "camids": camids}, features)
    evaluator.evaluate()
    found = evaluator.details["verification"]
    x = torch.nn.functional.normalize(features.double()).numpy()
    p, c = pids.numpy(), camids.numpy()
    scores = x[:num_query] @ x[num_query:].T
    same = p[:num_query, None] == p[num_query:]
    valid = ~(same & (c[:num_query, None] == c[num_query:]))
    areas, rates = [], []
    for drawn in draws(p[:num_query], 200):
        false, true, _ = metrics.roc_curve(same[drawn][valid[drawn]], scores[drawn][valid[drawn]])
        areas.append(metrics.auc(false, true))
        rates.append(100 * np.interp(0, false + true - 1, false))
    for name, drawn, tolerance in (("auc", areas, 0.005), ("eer", rates, 0.03)):  # of the interval's length
        expected = np.quantile(drawn, (0.025, 0.975))
        assert found[f"{name}_interval"] == pytest.approx(expected, abs=tolerance * np.ptp(expected))
    assert found["auc_interval"][0] < found["auc"] < found["auc_interval"][1]
    assert found["eer_interval"][0] < found["eer"] < found["eer_interval"][1]


def test_a_large_gallery_is_looked_at_in_parts(monkeypatch):
    monkeypatch.setattr(score_sketch, "_COLUMNS", 10)
    q_pids, scale = np.array([7, 3, 7]), ScoreScale(0.0, 1.0)
    sketch = ScoreSketch(q_pids, scale=scale, num_gallery=25)
    others = np.linspace(-2, 2, 25, dtype=np.float32)
    others[3] = -np.inf  # an image of its identity, which is among those that are looked at
    for query in range(3):
        sketch.add(query, np.empty(0), np.empty(0), others, 1)
    assert sketch.impostors.sum(axis=1).tolist() == [8, 16]  # every third of 25 images, without the one
    genuine = sketch.count(np.array([1.5, 0.5, 0.5]), np.array([0, 1, 2]))
    assert genuine.sum(axis=1).tolist() == [1, 2]
    assert genuine[1].argmax() > 256 and np.flatnonzero(genuine[1])[0] == np.flatnonzero(genuine[0])[0]
    assert np.array_equal(sketch.impostors[1], 2 * sketch.impostors[0])
    assert np.isfinite(others).sum() == 24


def test_histograms_are_shorter_where_identities_are_many(monkeypatch):
    monkeypatch.setattr(score_sketch, "_VALUES", 1000)
    for identities, bars in ((1, 512), (2, 256), (7, 128), (8, 64), (100, 64)):
        sketch = ScoreSketch(np.arange(identities), scale=ScoreScale(0.0, 1.0), num_gallery=5)
        assert sketch.impostors.shape == (identities, bars)


def test_what_is_not_defined():
    bootstrap = IdentityBootstrap(np.arange(4), resamples=20)
    pairs = np.ones((4, 64), dtype=np.int64)
    assert np.isnan(bootstrap.curve(0 * pairs, pairs)).all()
    assert np.isnan(bootstrap.curve(pairs, 0 * pairs)).all()
    np.testing.assert_allclose(bootstrap.curve(pairs, pairs), 0, atol=1e-12)  # every draw is the same
    evaluator = ReidEvaluator(num_query=1, roc=True)
    evaluator.process({"targets": torch.tensor([0, 1]), "camids": torch.tensor([0, 1])}, torch.eye(2))
    evaluator.evaluate()
    found = evaluator.details["verification"]
    assert found["auc"] is found["auc_interval"] is found["eer_interval"] is None
