"""Test sets that break careless code, against definitions in float64 and scikit-learn where it has the metric."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn import metrics

from fastreid.evaluation import RandomGalleryEvaluator, ReidEvaluator, RetrievalEvaluator

NUM_QUERY = 12
CASES = (
    "random",
    "ties",
    "all equal",
    "duplicates",
    "junk only for some",
    "one gallery image",
    "one identity",
    "zeros",
)
EVALUATORS = {
    "reid": lambda: ReidEvaluator(num_query=NUM_QUERY, roc=True, resamples=50),
    "euclidean": lambda: ReidEvaluator(num_query=NUM_QUERY, roc=True, resamples=50, metric="euclidean"),
    "cuhk03": lambda: ReidEvaluator(num_query=NUM_QUERY, roc=True, resamples=50, protocol="cuhk03"),
    "cameraless": lambda: ReidEvaluator(num_query=NUM_QUERY, roc=True, resamples=50, protocol="cameraless"),
    "random galleries": lambda: RandomGalleryEvaluator(num_query=NUM_QUERY, roc=True, resamples=50),
    "leave one out": lambda: RetrievalEvaluator(resamples=50),
}


def images(case):
    generator = torch.Generator().manual_seed(0)
    count = NUM_QUERY + (1 if case == "one gallery image" else 50)
    pids = torch.randint(0, 5, (count,), generator=generator)
    features = torch.randn(count, 6, generator=generator) + torch.eye(5, 6)[pids]
    camids = torch.randint(0, 3, (count,), generator=generator)
    if case == "ties":  # few different directions, of lengths that are exact
        features = torch.eye(6)[torch.randint(0, 6, (count,), generator=generator)] * 4
    elif case == "all equal":
        features[:] = torch.tensor([1.0, 2, 3, 4, 5, 6])
    elif case == "duplicates":  # of the queries, in the gallery, with other identities
        features[NUM_QUERY : 2 * NUM_QUERY] = features[:NUM_QUERY]
        pids[NUM_QUERY : 2 * NUM_QUERY] = (pids[:NUM_QUERY] + 1) % 5
    elif case == "junk only for some":
        camids[pids == 0] = 2  # all of one identity by one camera
    elif case == "one identity":
        pids[:] = 3
    elif case == "zeros":
        features[::4] = 0
    elif case == "one gallery image":
        pids[-1], camids[-1], camids[:NUM_QUERY] = pids[0], 2, 0
    return features, pids, camids


def filled(evaluator, features, pids, camids):
    for start in range(0, len(pids), 10):
        part = slice(start, start + 10)
        paths = [f"{place}.jpg" for place in range(len(pids))[part]]
        evaluator.process({"targets": pids[part], "camids": camids[part], "img_paths": paths}, features[part])
    return evaluator


def scores_of(features, metric):
    """Return all scores of queries and gallery, ``(Q, G)``, rounded so that equal ones are equal."""
    x = features.double().numpy()
    if metric == "euclidean":
        return -np.round(np.linalg.norm(x[:NUM_QUERY, None] - x[None, NUM_QUERY:], axis=2), 4)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
    return np.round(x[:NUM_QUERY] @ x[NUM_QUERY:].T, 4)


@pytest.mark.parametrize("name", ["reid", "euclidean"])
@pytest.mark.parametrize("case", CASES)
def test_ranking_and_verification_are_those_of_the_definitions(case, name):
    features, pids, camids = images(case)
    evaluator = filled(EVALUATORS[name](), features, pids, camids)
    results = evaluator.evaluate()
    scores = scores_of(features, "euclidean" if name == "euclidean" else "cosine")
    p, c = pids.numpy(), camids.numpy()
    same = p[:NUM_QUERY, None] == p[NUM_QUERY:]
    valid = ~(same & (c[:NUM_QUERY, None] == c[NUM_QUERY:]))
    rank_1, precision, penalty = [], [], []
    for row, is_match, counts in zip(scores, same, valid, strict=True):
        listed = sorted((-score, bool(match)) for score, match, there in zip(row, is_match, counts) if there)
        ranks = np.array([rank for rank, (_, match) in enumerate(listed, start=1) if match])
        if ranks.size == 0:
            continue
        rank_1.append(ranks[0] == 1)
        precision.append(np.mean(np.arange(1, ranks.size + 1) / ranks))
        penalty.append(ranks.size / ranks[-1])
        if len(set(row[counts])) == counts.sum():  # without ties scikit-learn agrees
            sklearn = metrics.average_precision_score(is_match[counts], row[counts])
            assert precision[-1] == pytest.approx(sklearn)
    assert results["Rank-1"] == pytest.approx(100 * np.mean(rank_1))
    assert results["mAP"] == pytest.approx(100 * np.mean(precision))
    assert results["mINP"] == pytest.approx(100 * np.mean(penalty))
    assert evaluator.details["queries"]["without_match"] == NUM_QUERY - len(rank_1)
    found = evaluator.details["verification"]
    truth, values = same[valid], scores[valid]
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (truth.sum(), (~truth).sum())
    if truth.all() or not truth.any():
        assert found["auc"] is found["eer"] is found["auc_interval"] is None
        return
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, values), abs=2e-4)  # scores are rounded here
    false, true, _ = metrics.roc_curve(truth, values, drop_intermediate=False)
    assert found["eer"] == pytest.approx(100 * np.interp(0, false + true - 1, false), abs=0.5)
    assert results["TPR@FPR=1e-02"] == pytest.approx(100 * true[false <= 1e-2].max(), abs=0.5)


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("case", CASES)
def test_every_number_is_one_or_is_missing(case, name):
    evaluator = filled(EVALUATORS[name](), *images(case))
    results = evaluator.evaluate()
    assert all(0 <= value <= 100 for value in results.values())
    json.dumps(evaluator.details, allow_nan=False)
    if case == "all equal" and name != "random galleries":
        assert results[next(iter(results))] == 0  # Rank-1, Recall@1: a constant score is no ranking


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_feature_that_is_no_number_is_an_error_that_names_the_image(name):
    features, pids, camids = images("random")
    features[17, 2], features[40, 0] = torch.nan, torch.inf
    message = r"2 of 62 images have features that are NaN or infinite, at positions 17 \(17\.jpg\), 40 \(40\.jpg\) of"
    with pytest.raises(ValueError, match=message):
        filled(EVALUATORS[name](), features, pids, camids).evaluate()


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03", "auto"])
def test_missing_cameras_are_an_error_that_names_the_protocol(protocol):
    features, pids, camids = images("random")
    camids[20] = -1
    meant = "market1501" if protocol == "auto" else protocol
    with pytest.raises(ValueError, match=rf"of 1 of 62 images, but TEST\.PROTOCOL {meant} leaves out"):
        filled(ReidEvaluator(num_query=NUM_QUERY, protocol=protocol), features, pids, camids).evaluate()
