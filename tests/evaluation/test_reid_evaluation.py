from __future__ import annotations

import logging
from collections import OrderedDict

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator, evaluate_rank


def data(seed=0, count=40, num_query=8):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 5, generator=generator)
    pids = torch.randint(0, 4, (count,), generator=generator)
    return features, pids, torch.randint(0, 3, (count,), generator=generator), num_query


def filled(cfg, features, pids, camids, num_query):
    evaluator = ReidEvaluator(cfg, num_query)
    for start in range(0, len(features), 7):
        part = slice(start, start + 7)
        evaluator.process({"targets": pids[part], "camids": camids[part]}, features[part])
    return evaluator


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_results_are_those_of_the_whole_distance_matrix(metric):
    cfg = get_cfg()
    cfg.TEST.METRIC = metric
    features, pids, camids, num_query = data()
    results = filled(cfg, features, pids, camids, num_query).evaluate()
    x = features.double().numpy()
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    query, gallery = x[:num_query], x[num_query:]
    distmat = np.array([[((q - g) ** 2).sum() for g in gallery] for q in query])  # of unit vectors: 2 - 2 cos
    p, c = pids.numpy(), camids.numpy()
    curve, precision, penalty = evaluate_rank(distmat, p[:num_query], p[num_query:], c[:num_query], c[num_query:])
    expected = {
        "Rank-1": 100 * curve[0],
        "Rank-5": 100 * curve[4],
        "Rank-10": 100 * curve[9],
        "mAP": 100 * precision.mean(),
        "mINP": 100 * penalty.mean(),
        "metric": 50 * (precision.mean() + curve[0]),
    }
    assert isinstance(results, OrderedDict)
    assert list(results) == list(expected)
    assert results == pytest.approx(expected)


@pytest.mark.parametrize("gallery_size", [0, 1, 9])
def test_galleries_of_any_size(gallery_size, caplog):
    features, pids, camids, _ = data(count=3 + gallery_size)
    pids[:] = 1
    camids[:3], camids[3:] = 0, 1
    with caplog.at_level(logging.WARNING):
        results = filled(get_cfg(), features, pids, camids, 3).evaluate()
    expected = 100.0 if gallery_size else 0.0  # one identity: everything is a match
    assert set(results.values()) == {expected}
    assert ("the rates are undefined" in caplog.text) == (gallery_size == 0)


def test_no_query_is_a_warning(caplog):
    features, pids, camids, _ = data(count=4)
    with caplog.at_level(logging.WARNING):
        results = filled(get_cfg(), features, pids, camids, 0).evaluate()
    assert set(results.values()) == {0.0}
    assert "None of 0 queries" in caplog.text


def test_queries_without_a_match_are_counted(caplog):
    features, pids, camids, num_query = data()
    pids[:2] = 99
    with caplog.at_level(logging.WARNING):
        filled(get_cfg(), features, pids, camids, num_query).evaluate()
    assert "2 of 8 queries have no true match in the gallery" in caplog.text


def test_features_that_are_not_finite_are_an_error():
    features, pids, camids, num_query = data()
    features[20, 1] = torch.nan
    with pytest.raises(ValueError, match="1 of 40 images have features that are NaN or infinite, at positions 20 of"):
        filled(get_cfg(), features, pids, camids, num_query).evaluate()


def test_more_queries_than_images_are_an_error():
    features, pids, camids, _ = data()
    with pytest.raises(ValueError, match="num_query is 41, but there are features of 40 images"):
        filled(get_cfg(), features, pids, camids, 41).evaluate()


def test_reset_forgets():
    evaluator = filled(get_cfg(), *data())
    evaluator.reset()
    with pytest.raises(ValueError, match="no features"):
        evaluator.evaluate()


def test_the_callers_features_stay_as_they_are():
    features, pids, camids, num_query = data()
    before = features.clone()
    filled(get_cfg(), features, pids, camids, num_query).evaluate()
    assert torch.equal(features, before)


@pytest.mark.parametrize("name", ["AQE", "RERANK", "ROC"])
def test_what_is_not_there_yet_is_said(name):
    cfg = get_cfg()
    cfg.TEST[name].ENABLED = True
    with pytest.raises(ValueError, match=rf"TEST\.{name}\.ENABLED is True"):
        ReidEvaluator(cfg, 1)


def test_bad_arguments():
    cfg = get_cfg()
    with pytest.raises(ValueError, match="num_query must be >= 0, got -1"):
        ReidEvaluator(cfg, -1)
    cfg.TEST.METRIC = "jaccard"
    with pytest.raises(KeyError, match=r"TEST\.METRIC: no 'jaccard'.*cosine, euclidean"):
        ReidEvaluator(cfg, 1)
