"""Test-time options by themselves, in a chain, and in the evaluator."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from fastreid.config import get_cfg
from fastreid.engine.evaluation_results import thresholds_of
from fastreid.evaluation import RandomGalleryEvaluator, ReidEvaluator, evaluate_rank, evaluate_roc
from fastreid.evaluation.features import FeatureSet
from fastreid.evaluation.postprocess import (
    POSTPROCESS_REGISTRY,
    CameraNorm,
    Postprocess,
    Retrieval,
    build_postprocess,
    normalize_cameras,
)
from fastreid.evaluation.query_expansion import aqe, dba
from fastreid.evaluation.rerank import re_ranking

QUERIES = 9


def images(count=45, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.arange(count) % 7
    centres = torch.randn(7, 6, generator=generator)
    features = centres[pids] + 0.8 * torch.randn(count, 6, generator=generator)
    return FeatureSet(features, pids, torch.randint(3, (count,), generator=generator))


def config(*names, **values):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    for name in names:
        cfg.TEST[name].ENABLED = True
    cfg.merge_from_list([item for pair in values.items() for item in pair])
    return cfg


def evaluate(cfg, data, cls=ReidEvaluator):
    evaluator = cls(cfg, QUERIES)
    evaluator.process({"targets": data.pids, "camids": data.camids}, data.features)
    return evaluator, evaluator.evaluate()


def expected_rates(distances, data):
    p, c = data.pids.numpy(), data.camids.numpy()
    curve, precision, penalty = evaluate_rank(distances, p[:QUERIES], p[QUERIES:], c[:QUERIES], c[QUERIES:])
    return {"Rank-1": 100 * curve[0], "mAP": 100 * precision.mean(), "mINP": 100 * penalty.mean()}


def distances_of(features, metric):
    x = features.double()
    x = x / x.norm(dim=1, keepdim=True) if metric == "cosine" else x
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").numpy()


def camera_norm_by_definition(data):
    x, cameras = data.features.double(), data.camids.tolist()
    result = []
    for row, camera in zip(x, cameras):
        own = torch.stack([other for other, theirs in zip(x, cameras) if theirs == camera])
        mean = own.sum(dim=0) / len(own)
        result.append((row - mean) / ((own - mean).square().sum(dim=0) / len(own)).sqrt())
    return torch.stack(result)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("name", ["AQE", "DBA", "CAMERA_NORM", "RERANK"])
def test_each_option_gives_the_results_of_its_definition(name, metric):
    data = images()
    keys = {"TEST.RERANK.K1": 6, "TEST.RERANK.K2": 3, "TEST.AQE.QE_K": 4, "TEST.DBA.K": 3, "TEST.METRIC": metric}
    _, results = evaluate(config(name, **keys), data)
    features = data.features.double()
    if name == "AQE":
        features = torch.cat(aqe(features[:QUERIES], features[QUERIES:], 1, 4, 3.0))
    elif name == "DBA":
        features = torch.cat([features[:QUERIES], dba(features[QUERIES:], 1, 3, 3.0)])
    elif name == "CAMERA_NORM":
        features = camera_norm_by_definition(data)
    d = distances_of(features, metric)
    distances = d[:QUERIES, QUERIES:]
    if name == "RERANK":
        distances = re_ranking(distances, d[:QUERIES, :QUERIES], d[QUERIES:, QUERIES:], 6, 3, 0.3)
    expected = expected_rates(distances, data)
    assert {key: results[key] for key in expected} == pytest.approx(expected)
    assert {key: results[key] for key in expected} != evaluate(config(), data)[1]


def test_options_run_in_the_order_of_the_config(caplog):
    data = images()
    cfg = config("AQE", "DBA", "CAMERA_NORM", "RERANK")
    with caplog.at_level(logging.INFO):
        evaluator, results = evaluate(cfg, data)
    assert list(evaluator.details["postprocess"]) == ["CameraNorm", "DBA", "AQE", "Rerank"]
    features = camera_norm_by_definition(data)
    features = torch.cat(aqe(features[:QUERIES], dba(features[QUERIES:], 1, 5), 1, 5))
    d = distances_of(features, "cosine")
    expected = expected_rates(re_ranking(d[:QUERIES, QUERIES:], d[:QUERIES, :QUERIES], d[QUERIES:, QUERIES:]), data)
    assert {key: results[key] for key in expected} == pytest.approx(expected)
    for text in ("Test with AQE setting", "Test with rerank setting", "CameraNorm took", "Rerank took", "MiB"):
        assert text in caplog.text
    cfg.TEST.POSTPROCESS = ("AQE", "CameraNorm", "DBA", "Rerank")
    assert list(evaluate(cfg, data)[0].details["postprocess"]) == ["AQE", "CameraNorm", "DBA", "Rerank"]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("names", [("AQE",), ("RERANK",), ("AQE", "RERANK")])
def test_verification_judges_the_scores_that_options_made(names, metric):
    data = images()
    keys = {"TEST.RERANK.K1": 6, "TEST.RERANK.K2": 3, "TEST.AQE.QE_K": 4, "TEST.METRIC": metric}
    evaluator, results = evaluate(config("ROC", *names, **keys), data)
    features = data.features.double()
    if "AQE" in names:
        features = torch.cat(aqe(features[:QUERIES], features[QUERIES:], 1, 4, 3.0))
    d = distances_of(features, metric)
    distances = d[:QUERIES, QUERIES:]
    if "RERANK" in names:
        distances = re_ranking(distances, d[:QUERIES, :QUERIES], d[QUERIES:, QUERIES:], 6, 3, 0.3)
    p, c = data.pids.numpy(), data.camids.numpy()
    scores, labels = evaluate_roc(distances, p[:QUERIES], p[QUERIES:], c[:QUERIES], c[QUERIES:])
    rates, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert results["TPR@FPR=1e-02"] == pytest.approx(100 * found[rates <= 1e-2].max())
    assert evaluator.details["verification"]["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    point = evaluator.details["threshold"]
    assert point["postprocess"] == [{"AQE": "AQE", "RERANK": "Rerank"}[name] for name in names]
    assert thresholds_of({"here": {"threshold": point}}) == {}
    assert thresholds_of({"here": {"threshold": {**point, "postprocess": []}}}) != {}


def test_time_and_memory_are_in_the_details():
    evaluator, _ = evaluate(config("AQE", "RERANK"), images())
    figures = evaluator.details["postprocess"]
    assert json.loads(json.dumps(evaluator.details)) == evaluator.details
    assert figures["AQE"]["seconds"] > 0 and figures["Rerank"]["ranking_seconds"] > 0
    assert "ranking_seconds" not in figures["AQE"]
    assert all(of["memory_mib"] >= 0 for of in figures.values() if "memory_mib" in of)
    before = figures["AQE"]["seconds"]
    evaluator.evaluate()
    assert figures["AQE"]["seconds"] == before, "the figures of an earlier evaluation are the caller's"
    assert "postprocess" not in evaluate(config(), images())[0].details


def test_options_see_the_cameras_of_the_test_set_whatever_the_protocol():
    data = images()
    _, results = evaluate(config("CAMERA_NORM", **{"TEST.PROTOCOL": "cameraless"}), data)
    d = distances_of(camera_norm_by_definition(data), "cosine")[:QUERIES, QUERIES:]
    p, nowhere = data.pids.numpy(), np.zeros(len(data))
    _, precision, _ = evaluate_rank(d, p[:QUERIES], p[QUERIES:], nowhere[:QUERIES], nowhere[QUERIES:] + 1)
    assert results["mAP"] == pytest.approx(100 * precision.mean())


def test_options_work_on_every_random_gallery():
    data = images()
    evaluator, results = evaluate(config("AQE", "RERANK"), data, RandomGalleryEvaluator)
    assert results != evaluate(config(), data, RandomGalleryEvaluator)[1]
    assert [set(split["postprocess"]) for split in evaluator.details["splits"]] == 10 * [{"AQE", "Rerank"}]


@pytest.mark.parametrize("queries", [0, 9, 45])
def test_no_query_and_no_gallery(queries):
    data = images()
    evaluator = ReidEvaluator(config("AQE", "DBA", "RERANK"), queries)
    evaluator.process({"targets": data.pids, "camids": data.camids}, data.features)
    results = evaluator.evaluate()
    assert (results["mAP"] == 0) == (queries != 9)


def test_camera_norm_leaves_mean_0_and_deviation_1_per_camera():
    data = images()
    found = normalize_cameras(data.features.double(), data.camids)
    for camera in data.camids.unique():
        own = found[data.camids == camera]
        torch.testing.assert_close(own.mean(dim=0), torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)
        torch.testing.assert_close(own.std(dim=0, correction=0), torch.ones(6, dtype=torch.float64))
    moved = normalize_cameras(data.features.double(), data.camids, variance=False)
    for camera in data.camids.unique():
        own = data.camids == camera
        torch.testing.assert_close(moved[own], (data.features[own].double() - data.features[own].double().mean(dim=0)))


def test_camera_norm_of_equal_images_and_of_single_ones(caplog):
    features = torch.tensor([[1.0, 0.3], [1.0, 0.3], [1.0, 0.3], [4.0, 0.3]])
    with caplog.at_level(logging.WARNING):
        found = normalize_cameras(features, torch.tensor([0, 0, 0, 7]))
    assert "Cameras 7 have a single image" in caplog.text
    deviation = features.double().std(dim=0, correction=0)[0]
    torch.testing.assert_close(found, torch.tensor([[0, 0], [0, 0], [0, 0], [2.25 / deviation, 0]]).float())


def test_camera_norm_needs_cameras():
    with pytest.raises(ValueError, match=r"no camera is known .* of 1 of 2 images.*TEST\.CAMERA_NORM\.ENABLED False"):
        normalize_cameras(torch.ones(2, 2), torch.tensor([0, -1]))


def test_variance_is_read_from_the_config():
    data = images()
    on, off = (
        build_postprocess(config("CAMERA_NORM", **{"TEST.CAMERA_NORM.VARIANCE": value}))(
            Retrieval(data[:QUERIES], data[QUERIES:], "cosine")
        ).query.features
        for value in (True, False)
    )
    torch.testing.assert_close(on, normalize_cameras(data.features, data.camids)[:QUERIES])
    torch.testing.assert_close(off, normalize_cameras(data.features, data.camids, variance=False)[:QUERIES])


def test_an_option_of_ones_own_runs_because_it_is_listed(monkeypatch):
    class Halve:
        key = None
        is_last = False

        def __init__(self, cfg):
            self.by = 2

        def __call__(self, retrieval):
            return Retrieval(retrieval.query, retrieval.gallery, "euclidean")

    monkeypatch.setitem(POSTPROCESS_REGISTRY._objects, "Halve", Halve)
    assert "postprocess" not in evaluate(config(), images())[0].details
    cfg = config()
    cfg.TEST.POSTPROCESS = ("Halve",)
    assert list(evaluate(cfg, images())[0].details["postprocess"]) == ["Halve"]


def test_the_callers_features_stay_as_they_are():
    data = images()
    before = data.features.clone()
    build_postprocess(config("AQE", "DBA", "CAMERA_NORM", "RERANK"))(
        Retrieval(data[:QUERIES], data[QUERIES:], "cosine")
    )
    assert torch.equal(data.features, before)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"TEST.AQE.QE_K": 0}, r"TEST\.AQE\.QE_K must be at least 1, got 0"),
        ({"TEST.DBA.TIMES": 0}, r"TEST\.DBA\.TIMES must be at least 1, got 0"),
        ({"TEST.DBA.ALPHA": -1.0}, r"TEST\.DBA\.ALPHA must be at least 0, got -1"),
        ({"TEST.RERANK.LAMBDA": 1.5}, r"TEST\.RERANK\.LAMBDA in \[0, 1\], got 20, 6 and 1\.5"),
        ({"TEST.POSTPROCESS": ("AQE",)}, r"TEST\.DBA\.ENABLED is True, but TEST\.POSTPROCESS is \['AQE'\]; add 'DBA'"),
        ({"TEST.POSTPROCESS": ("Rerank", "AQE", "DBA")}, r"Rerank must be the last of TEST\.POSTPROCESS"),
    ],
)
def test_what_cannot_work_is_said_before_the_model_runs(keys, message):
    with pytest.raises(ValueError, match=message):
        ReidEvaluator(config("AQE", "DBA", "RERANK", **keys), 1)


def test_an_unknown_option_is_an_error_with_the_nearest_name():
    cfg = config()
    cfg.TEST.POSTPROCESS = ("Reranks",)
    with pytest.raises(KeyError, match="Did you mean 'Rerank'"):
        ReidEvaluator(cfg, 1)


def test_a_chain_of_nothing_changes_nothing():
    data = images()
    retrieval = Retrieval(data[:QUERIES], data[QUERIES:], "cosine")
    assert Postprocess()(retrieval) is retrieval
    assert CameraNorm.key == "CAMERA_NORM"
