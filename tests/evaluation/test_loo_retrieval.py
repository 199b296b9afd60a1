from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from fastreid.config import get_cfg
from fastreid.evaluation import FeatureSet, ReidEvaluator, RetrievalEvaluator, leave_one_out_retrieval
from fastreid.evaluation.loo_retrieval import leave_one_out_ranks, retrieval_by_query

RECALL = (1, 2, 4, 8, 100)


def images(seed=0, count=60, kind="random"):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.randint(0, 9, (count,), generator=generator)
    features = torch.randn(count, 6, generator=generator) + 1.5 * torch.eye(9, 6)[pids]
    pids[7] = 50  # alone
    if kind == "duplicates":  # of other identities too
        features[20:40] = features[:20]
    elif kind == "equal":
        features[:] = 1
    return features, pids


def as_loops(features, pids, metric):
    """The definition: sort all other images, of equal ones those of other identities first, and count."""
    x = features.double()
    if metric == "cosine":
        x = x / x.norm(dim=1, keepdim=True)
    numbers = {**{f"Recall@{k}": [] for k in RECALL}, "MAP@R": []}
    for query in range(len(x)):
        others = [image for image in range(len(x)) if image != query]
        distance = {image: round((x[query] - x[image]).norm().item(), 9) for image in others}
        others.sort(key=lambda image: (distance[image], pids[image] == pids[query]))
        hits = [bool(pids[image] == pids[query]) for image in others]
        total = sum(hits)
        if total == 0:
            continue
        for k in RECALL:
            numbers[f"Recall@{k}"].append(any(hits[:k]))
        precision = [sum(hits[: i + 1]) / (i + 1) for i in range(total)]
        numbers["MAP@R"].append(sum(p for p, hit in zip(precision, hits, strict=False) if hit) / total)
    return {name: float(np.mean(own)) for name, own in numbers.items()}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", ["random", "duplicates", "equal"])
def test_numbers_are_those_of_the_definition(kind, metric):
    features, pids = images(kind=kind)
    found = leave_one_out_retrieval(features, pids, metric=metric, recall_at=RECALL)
    assert found == pytest.approx(as_loops(features, pids, metric))
    assert 0 < found["MAP@R"] < found["Recall@2"] <= found["Recall@100"] if kind != "equal" else found["Recall@2"] == 0


def test_recall_agrees_with_scikit_learn():
    features, pids = images(count=200)
    near = NearestNeighbors(n_neighbors=9).fit(features).kneighbors(features, return_distance=False)[:, 1:]
    found = leave_one_out_retrieval(features, pids, metric="euclidean", recall_at=(1, 8))
    several = np.bincount(pids)[pids] > 1
    for k in (1, 8):
        hits = (pids.numpy()[near[:, :k]] == pids.numpy()[:, None]).any(axis=1)
        assert found[f"Recall@{k}"] == pytest.approx(hits[several].mean())


def test_blocks_do_not_matter():
    features, pids = images(count=1200)
    whole = leave_one_out_ranks(features, pids)
    for ours, theirs in zip(leave_one_out_ranks(features, pids, memory_gb=0.005), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert whole[7].size == 0


def test_a_single_query():
    numbers = retrieval_by_query([np.array([2, 3, 9]), np.empty(0, dtype=np.int64)], (1, 2))
    assert numbers["Recall@1"][0] == 0 and numbers["Recall@2"][0] == 1
    assert numbers["MAP@R"][0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert all(np.isnan(own[1]) for own in numbers.values())
    with pytest.raises(ValueError, match=r"TEST\.RETRIEVAL\.RECALL\) must be at least 1, got \(0, 1\)"):
        retrieval_by_query([np.array([1])], (0, 1))
    assert leave_one_out_retrieval(torch.eye(3), torch.arange(3)) == dict.fromkeys(
        ("Recall@1", "Recall@2", "Recall@4", "Recall@8", "MAP@R"), 0.0
    )


def cfg_of(*options):
    cfg = get_cfg()
    cfg.TEST.EVALUATOR, cfg.TEST.PROTOCOL = "RetrievalEvaluator", "leave_one_out"
    cfg.merge_from_list(list(options))
    return cfg


def filled(evaluator, features, pids):
    for start in range(0, len(features), 7):
        part = slice(start, start + 7)
        paths = [f"{place}.jpg" for place in range(len(features))[part]]
        evaluator.process(
            {"targets": pids[part], "camids": torch.full_like(pids[part], -1), "img_paths": paths}, features[part]
        )
    return evaluator


def test_the_evaluator(caplog):
    features, pids = images()
    evaluator = filled(RetrievalEvaluator(cfg_of("TEST.RETRIEVAL.RECALL", (1, 10)), 0), features, pids)
    with caplog.at_level(logging.INFO):
        results = evaluator.evaluate()
    expected = leave_one_out_retrieval(features, pids, recall_at=(1, 10))
    assert list(results) == ["Recall@1", "Recall@10", "MAP@R", "metric"]
    assert [results[name] for name in expected] == pytest.approx([100 * value for value in expected.values()])
    assert results["metric"] == results["Recall@1"]
    assert evaluator.details["queries"] == {
        "count": 60,
        "without_match": 1,
        "unmatched": [{"place": 7, "img_path": "7.jpg"}],
    }
    assert "1 of 60 queries have no true match" in caplog.text
    assert "by the protocol leave_one_out" in caplog.text
    assert evaluator.details["breakdown"]["identities"]["count"] == len(set(pids.tolist())) - 1
    low, high = evaluator.details["intervals"]["MAP@R"]
    assert low < results["MAP@R"] < high
    assert 100 * np.nanmean(evaluator.queries["MAP@R"]) == pytest.approx(results["MAP@R"])
    assert {"place", "img_path", "pid", "Rank-1", "mAP"} <= set(evaluator.queries)  # what compare_queries reads
    assert evaluator.judge(*FeatureSet(features, pids, pids).split(20)) == results  # a split does not matter
    evaluator.reset()
    assert evaluator.details == {} and evaluator.queries == {}


def test_a_feature_that_is_no_number_names_the_image():
    features, pids = images()
    features[9, 2] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 60 images .* at positions 9 \(9\.jpg\) of the test set"):
        filled(RetrievalEvaluator(), features, pids).evaluate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("TEST.PROTOCOL", "market1501"), r"TEST\.PROTOCOL is market1501, .* set TEST\.PROTOCOL leave_one_out"),
        (("TEST.RETRIEVAL.RECALL", (2, 1)), r"RECALL must be different numbers .* got \(2, 1\)"),
        (("TEST.RETRIEVAL.RECALL", (0, 1)), r"RECALL must be .* at least 1 .* got \(0, 1\)"),
        (("TEST.RETRIEVAL.RECALL", ()), r"RECALL must be .* got \(\)"),
        (("TEST.AQE.ENABLED", True), r"set TEST\.AQE\.ENABLED False"),
        (("TEST.ROC.ENABLED", True), r"set TEST\.ROC\.ENABLED False"),
        (("TEST.BOOTSTRAP.RESAMPLES", -1), r"RESAMPLES must be >= 0, got -1"),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluator(cfg_of(*options), 0)


def test_the_protocol_has_one_evaluator():
    with pytest.raises(ValueError, match=r"leave_one_out has no queries of its own: set TEST\.EVALUATOR Retrieval"):
        ReidEvaluator(cfg_of(), 0)
