from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import PROTOCOL_REGISTRY, FeatureSet, ReidEvaluator, average_precision


def features(camids, seed=0):
    generator = torch.Generator().manual_seed(seed)
    count = len(camids)
    pids = torch.randint(0, 3, (count,), generator=generator)
    return torch.randn(count, 4, generator=generator, dtype=torch.float64), pids, torch.tensor(camids)


def evaluate(protocol, camids, num_query=5):
    cfg = get_cfg()
    cfg.TEST.PROTOCOL = protocol
    evaluator = ReidEvaluator(cfg, num_query)
    x, pids, camids = features(camids)
    evaluator.process({"targets": pids, "camids": camids}, x)
    return evaluator.evaluate(), x, pids, camids


def mean_average_precision(x, pids, is_left_out, num_query=5):
    """Its definition: sort the gallery of each query, leave out, average the precision at the matches."""
    unit = x / x.norm(dim=1, keepdim=True)
    precisions = []
    for query in range(num_query):
        gallery = [g for g in range(num_query, len(x)) if not is_left_out(query, g)]
        gallery.sort(key=lambda g: -(unit[query] @ unit[g]).item())
        ranks = [rank for rank, g in enumerate(gallery, start=1) if pids[g] == pids[query]]
        precisions.append(average_precision(np.array(ranks)))
    return 100 * np.mean(precisions)


CAMIDS = [n % 3 for n in range(40)]


def test_market1501_leaves_out_what_the_querys_own_camera_saw(caplog):
    with caplog.at_level(logging.INFO):
        results, x, pids, camids = evaluate("market1501", CAMIDS)
    expected = mean_average_precision(x, pids, lambda q, g: pids[q] == pids[g] and camids[q] == camids[g])
    assert results["mAP"] == pytest.approx(expected, rel=1e-6)
    assert "Evaluating by the protocol market1501" in caplog.text
    assert "not comparable" not in caplog.text


@pytest.mark.parametrize("camids", [CAMIDS, [-1] * 40])
def test_cameraless_leaves_out_nothing(camids, caplog):
    with caplog.at_level(logging.INFO):
        results, x, pids, _ = evaluate("cameraless", camids)
    assert results["mAP"] == pytest.approx(mean_average_precision(x, pids, lambda q, g: False), rel=1e-6)
    assert "Evaluating by the protocol cameraless" in caplog.text
    assert ("The cameras of 40 of 40 images are known" in caplog.text) == (camids is CAMIDS)
    assert ("are not comparable" in caplog.text) == (camids is CAMIDS)


def test_unknown_cameras_are_an_error_by_default():
    assert get_cfg().TEST.PROTOCOL == "market1501"
    with pytest.raises(ValueError, match=r"no camera is known .* of 2 of 40 images.* set TEST\.PROTOCOL cameraless"):
        evaluate("market1501", [*CAMIDS[:38], -1, -1])


@pytest.mark.parametrize(("camids", "meaning"), [(CAMIDS, "market1501"), ([-1] * 40, "cameraless")])
def test_auto_is_one_of_the_two_and_says_which(camids, meaning, caplog):
    with caplog.at_level(logging.INFO):
        results = evaluate("auto", camids)[0]
    assert results == evaluate(meaning, camids)[0]
    assert f"TEST.PROTOCOL auto means {meaning} for this test set" in caplog.text
    assert "not comparable" not in caplog.text


def test_auto_does_not_guess_where_some_cameras_are_known():
    with pytest.raises(ValueError, match=r"no camera is known .* of 1 of 40 images"):
        evaluate("auto", [*CAMIDS[:39], -1])


def test_unknown_protocol_is_an_error_before_the_model_runs():
    cfg = get_cfg()
    cfg.TEST.PROTOCOL = "market"
    with pytest.raises(KeyError, match=r"TEST\.PROTOCOL: no 'market'\. Did you mean 'market1501'"):
        ReidEvaluator(cfg, 1)


@pytest.mark.parametrize("name", sorted(PROTOCOL_REGISTRY))
def test_arguments_stay_as_they_are(name):
    query, gallery = FeatureSet(*features([1, 2, 3])), FeatureSet(*features([0, 1], seed=1))
    PROTOCOL_REGISTRY.get(name)(query, gallery)
    assert query.camids.tolist() == [1, 2, 3] and gallery.camids.tolist() == [0, 1]
