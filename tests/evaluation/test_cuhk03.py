from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator, cmc, evaluate_rank
from fastreid.evaluation.cuhk03 import SingleShot, single_shot_rates
from fastreid.evaluation.rank import eval_cuhk03
from fastreid.evaluation.scores import SCORE_REGISTRY
from fastreid.evaluation.similarity import METRIC_REGISTRY


def problem(seed=0, queries=12, gallery=60, identities=7, ties=False):
    r = np.random.default_rng(seed)
    distmat = r.integers(4, size=(queries, gallery)) / 4 if ties else r.random((queries, gallery))
    q_pids, g_pids = r.integers(identities, size=queries), r.integers(identities, size=gallery)
    distmat += 0.3 * (q_pids[:, None] != g_pids)
    q_pids[0] = 99  # nobody
    return distmat, q_pids, g_pids, r.integers(3, size=queries), r.integers(3, size=gallery)


def chance_of_ranks(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """The curve over all galleries that can be drawn: for each match, how many others are ahead is a sum of coins."""
    curves = []
    for row, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        matches = np.flatnonzero((g_pids == pid) & (g_camids != camid))
        for match in matches:
            ahead = np.ones(1)  # chance of 0, 1, ... other identities ahead
            for other in set(g_pids.tolist()) - {pid}:
                chance = np.mean(row[g_pids == other] <= row[match])
                ahead = np.convolve(ahead, [1 - chance, chance])
            curve = np.cumsum(ahead)
            curve = np.pad(curve, (0, max_rank), constant_values=1)[:max_rank]
            curves.append((len(matches), curve))
    queries = sum(1 / count for count, _ in curves)
    return sum(curve / count for count, curve in curves) / queries


@pytest.mark.parametrize("ties", [False, True])
def test_many_draws_come_near_to_the_chance_of_all_galleries(ties):
    who = problem(ties=ties)
    expected = chance_of_ranks(*who, 6)
    curve, precision, penalty = eval_cuhk03(*who, 6, repeats=4000)
    np.testing.assert_allclose(curve, expected, atol=0.01)
    assert 0.1 < expected[0] < 0.9
    for ours, theirs in zip((precision, penalty), evaluate_rank(*who)[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)  # on the full list


def test_draws_depend_on_the_seed_and_the_query_alone():
    who = problem()
    first = evaluate_rank(*who, 6, use_metric_cuhk03=True)
    for ours, theirs in zip(first, eval_cuhk03(*who, 6, repeats=10, seed=0), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    fewer = tuple(who[n][:5] if n in (0, 1, 3) else who[n] for n in range(5))
    shots = [SingleShot(who[2], draws=3) for _ in range(2)]
    for shot, (distmat, q_pids, g_pids, *_) in zip(shots, (who, fewer), strict=True):
        for query, row in enumerate(distmat):
            others = np.where(g_pids == q_pids[query], -np.inf, -row)
            shot.add(query, -row[g_pids == q_pids[query]], -row[g_pids == q_pids[query]], others, 0)
    assert all(np.array_equal(shots[0].ranks[query], own) for query, own in shots[1].ranks.items())
    assert shots[0].ranks[0].size == 0 and shots[0].ranks[1].size == 3


def evaluator(who, metric, **options):
    features, pids, camids = who
    cfg = get_cfg()
    cfg.TEST.METRIC, cfg.TEST.PROTOCOL = metric, "cuhk03"
    cfg.merge_from_list([part for name, value in options.items() for part in (f"TEST.CUHK03.{name}", value)])
    evaluator = ReidEvaluator(cfg, 12)
    evaluator.process({"targets": pids, "camids": camids}, features)
    return evaluator


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_evaluator_gives_the_numbers_of_the_whole_matrix(metric):
    generator = torch.Generator().manual_seed(0)
    pids = torch.randint(0, 6, (70,), generator=generator)
    features = torch.randn(70, 5, generator=generator) + torch.eye(6, 5)[pids]
    pids[3] = 99
    camids = torch.randint(0, 3, (70,), generator=generator)
    judge = evaluator((features, pids, camids), metric, DRAWS=25, SEED=7)
    results = judge.evaluate()
    x = features.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    distmat = np.linalg.norm(x[:12, None] - x[None, 12:], axis=2)
    p, c = pids.numpy(), camids.numpy()
    curve, precision, penalty = eval_cuhk03(distmat, p[:12], p[12:], c[:12], c[12:], 10, repeats=25, seed=7)
    assert list(results) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    expected = [curve[0], curve[4], curve[9], precision.mean(), penalty.mean(), (curve[0] + precision.mean()) / 2]
    assert list(results.values()) == pytest.approx(100 * np.array(expected))
    assert 0 < results["Rank-1"] < 100
    assert np.nanmean(judge.queries["Rank-1"]) == pytest.approx(curve[0])
    low, high = judge.details["intervals"]["Rank-1"]
    assert low < results["Rank-1"] < high
    assert judge.details["queries"]["without_match"] == 1
    assert results != evaluator((features, pids, camids), metric, DRAWS=25, SEED=8).evaluate()


def test_one_image_of_each_identity_is_the_whole_gallery():
    generator = torch.Generator().manual_seed(1)
    features, pids = torch.randn(20, 4, generator=generator), torch.cat([torch.arange(12) % 8, torch.arange(8)])
    camids = torch.cat([torch.zeros(12, dtype=torch.int64), torch.ones(8, dtype=torch.int64)])
    judge = ReidEvaluator(num_query=12)
    judge.process({"targets": pids, "camids": camids}, features)
    assert evaluator((features, pids, camids), "cosine").evaluate() == pytest.approx(judge.evaluate())


def test_rates_are_means_over_draws():
    numbers = {name: np.array([0.5, np.nan]) for name in ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric")}
    ranks = [np.array([1, 1, 2, 7]), np.empty(0, dtype=np.int64)]
    results, by_query = single_shot_rates(numbers, ranks)
    assert list(results.values()) == [50.0, 75.0, 100.0, 50.0, 50.0, 50.0]
    assert [100 * cmc([rank[None] for rank in ranks[0]], 10)[k] for k in (0, 4, 9)] == [50.0, 75.0, 100.0]
    assert np.isnan(by_query["Rank-1"][1]) and np.isnan(by_query["metric"][1])
    assert numbers["Rank-1"][0] == 0.5  # the argument stays
    nobody = {name: own[1:] for name, own in numbers.items()}
    assert set(single_shot_rates(nobody, ranks[1:])[0].values()) == {0.0}


def test_settings_out_of_range(monkeypatch):
    with pytest.raises(ValueError, match=r"TEST\.CUHK03\.DRAWS\) must be at least 1, got 0"):
        evaluator((torch.ones(1, 1), torch.ones(1), torch.ones(1)), "cosine", DRAWS=0)
    with pytest.raises(ValueError, match=r"TEST\.CUHK03\.SEED\) must be >= 0, got -1"):
        evaluator((torch.ones(1, 1), torch.ones(1), torch.ones(1)), "cosine", SEED=-1)
    monkeypatch.setitem(METRIC_REGISTRY._objects, "mine", METRIC_REGISTRY.get("cosine"))
    assert "mine" not in SCORE_REGISTRY
    with pytest.raises(KeyError, match=r"TEST\.METRIC .* TEST\.PROTOCOL cuhk03: no 'mine'"):
        ReidEvaluator(num_query=1, metric="mine", protocol="cuhk03")
