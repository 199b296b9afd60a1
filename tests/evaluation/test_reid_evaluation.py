from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator, evaluate_rank
from fastreid.evaluation.features import FeatureSet
from fastreid.evaluation.roc import evaluate_roc


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


@pytest.mark.parametrize("with_paths", [True, False])
def test_queries_without_a_match_are_counted_and_named(caplog, with_paths):
    features, pids, camids, num_query = data()
    pids[2:4] = 99
    evaluator = ReidEvaluator(get_cfg(), num_query)
    paths = {"img_paths": [f"{place}.jpg" for place in range(40)]} if with_paths else {}
    evaluator.process({"targets": pids, "camids": camids, **paths}, features)
    with caplog.at_level(logging.WARNING):
        evaluator.evaluate()
    assert "2 of 8 queries have no true match in the gallery" in caplog.text
    assert evaluator.details["queries"] == {
        "count": 8,
        "without_match": 2,
        "unmatched": [{"place": place, "img_path": f"{place}.jpg" if with_paths else None} for place in (2, 3)],
    }
    assert np.isnan(evaluator.queries["mAP"]).tolist() == [place in (2, 3) for place in range(8)]
    assert evaluator.queries["img_path"].tolist() == [f"{place}.jpg" if with_paths else "" for place in range(8)]


def roc_cfg(*options):
    cfg = get_cfg()
    cfg.TEST.ROC.ENABLED = True
    cfg.merge_from_list(list(options))
    return cfg


def true_rate_as_loops(scores, genuine, wanted):
    rates = [0.0]
    for threshold in scores:
        if np.mean(scores[genuine == 0] >= threshold) <= wanted:
            rates.append(np.mean(scores[genuine == 1] >= threshold))
    return max(rates)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_verification_is_that_of_all_pairs(metric):
    features, pids, camids, num_query = data(count=120, num_query=30)
    evaluator = filled(roc_cfg("TEST.METRIC", metric), features, pids, camids, num_query)
    results = evaluator.evaluate()
    assert list(results)[5:] == ["metric", "TPR@FPR=1e-04", "TPR@FPR=1e-03", "TPR@FPR=1e-02"]
    x = features.double().numpy()
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    distmat = np.linalg.norm(x[:num_query, None] - x[None, num_query:], axis=2)
    p, c = pids.numpy(), camids.numpy()
    scores, genuine = evaluate_roc(distmat, p[:num_query], p[num_query:], c[:num_query], c[num_query:])
    for rate in (1e-4, 1e-3, 1e-2):
        assert results[f"TPR@FPR={rate:.0e}"] == pytest.approx(100 * true_rate_as_loops(scores, genuine, rate))
    details = json.loads(json.dumps(evaluator.details, allow_nan=False))  # whatever is in it, JSON carries it
    verification = details["verification"]
    assert verification["genuine_pairs"] == genuine.sum()
    assert verification["impostor_pairs"] == (genuine == 0).sum()
    assert verification["auc"] == pytest.approx(roc_auc_score(genuine, scores), abs=1e-6)
    histogram = verification["histogram"]
    assert sum(histogram["genuine"]) == genuine.sum() and sum(histogram["impostor"]) == (genuine == 0).sum()
    threshold = details["threshold"]
    unit = -distmat if metric == "euclidean" else 1 - distmat**2 / 2
    kept, labels = evaluate_roc(-unit, p[:num_query], p[num_query:], c[:num_query], c[num_query:])
    assert (threshold["kind"], threshold["value"], threshold["metric"]) == ("fpr", 1e-3, metric)
    accepted = kept >= threshold["threshold"]
    assert accepted[labels == 0].mean() <= 1e-3
    assert 100 * accepted[labels == 1].mean() == pytest.approx(threshold["tpr"])
    low, high = threshold["threshold_interval"]
    assert low <= threshold["threshold"] <= high and low < high


def test_open_set_identification_without_the_absent():
    features, pids, camids, num_query = data(seed=4, count=400, num_query=100)
    pids = torch.arange(400) % 20
    camids = (torch.arange(400) // 20) % 3
    features += 1.5 * torch.randn(20, 5, generator=torch.Generator().manual_seed(1))[pids]
    evaluator = filled(roc_cfg("TEST.OPEN_SET.SHARE", 0.3), features, pids, camids, num_query)
    evaluator.evaluate()
    open_set, queries = evaluator.details["open_set"], evaluator.queries
    absent = set(pids[:num_query][torch.from_numpy(queries["is_absent"])].tolist())
    assert open_set["identities_held_out"] == len(absent) == 6
    x = torch.nn.functional.normalize(features.double())
    alarms, found = [], []
    for q in range(num_query):
        best, who = -2.0, None
        for g in range(num_query, 400):
            if pids[g].item() in absent or (pids[g] == pids[q] and camids[g] == camids[q]):
                continue
            score = float(x[q] @ x[g])
            if score > best:
                best, who = score, int(pids[g])
        if pids[q].item() in absent:
            alarms.append(best)
        else:
            found.append(best if who == pids[q] else -2.0)
    assert (open_set["mated"], open_set["non_mated"]) == (len(found), len(alarms)) == (70, 30)
    for name, wanted in (("DIR@FAR=1e-02", 0.01), ("DIR@FAR=1e-01", 0.1)):
        allowed = int(wanted * len(alarms))
        bar = sorted(alarms)[-1 - allowed]
        point = open_set["operating_points"][name]
        assert point["dir"] == pytest.approx(100 * np.mean(np.array(found) > bar))
        assert bar < point["threshold"] < min(score for score in alarms + found if score > bar + 1e-6)
        assert point["dir_interval"][0] <= point["dir"] <= point["dir_interval"][1]
    assert 0 < open_set["operating_points"]["DIR@FAR=1e-02"]["dir"] < 100
    assert open_set["curve"]["far"][-1] == 1 and max(open_set["curve"]["dir"]) <= 1


def test_absent_identities_of_the_benchmark_come_first():
    features, pids, camids, num_query = data(count=120, num_query=30)
    pids[:3] = 99
    evaluator = filled(roc_cfg(), features, pids, camids, num_query)
    evaluator.evaluate()
    open_set = evaluator.details["open_set"]
    assert (open_set["identities_held_out"], open_set["non_mated"]) == (0, 3)
    evaluator = filled(roc_cfg("TEST.THRESHOLD.KIND", "far", "TEST.THRESHOLD.VALUE", 0.4), features, pids, camids, 30)
    evaluator.evaluate()
    alarms = np.sort(evaluator.queries["best_other"][:3])
    threshold = evaluator.details["threshold"]
    assert (threshold["kind"], threshold["value"]) == ("far", 0.4)
    assert alarms[1] < threshold["threshold"] <= alarms[2]  # one of three is a third


@pytest.mark.parametrize("case", ["no gallery", "one image", "junk only", "no query", "equal"])
def test_odd_test_sets_have_numbers_or_none(case):
    count = {"no gallery": 8, "one image": 9}.get(case, 40)
    features, pids, camids, num_query = data(count=count, num_query=0 if case == "no query" else 8)
    if case == "junk only":
        pids[:], camids[:] = 1, 1
    elif case == "equal":
        features[:] = 1
    evaluator = filled(roc_cfg(), features, pids, camids, num_query)
    results = evaluator.evaluate()
    assert all(0 <= value <= 100 for value in results.values())
    json.dumps(evaluator.details, allow_nan=False)
    if case == "equal":
        assert evaluator.details["verification"]["auc"] == 0.5
        assert evaluator.details["verification"]["eer"] == 50
        assert results["TPR@FPR=1e-02"] == 0
    if case in ("no gallery", "junk only", "no query"):
        assert evaluator.details["threshold"]["threshold"] is None


def test_numbers_do_not_change_with_the_roc_or_without_intervals():
    plain, roc = filled(get_cfg(), *data()), filled(roc_cfg("TEST.BOOTSTRAP.RESAMPLES", 0), *data())
    results = plain.evaluate()
    assert {key: value for key, value in roc.evaluate().items() if key in results} == results
    assert "intervals" in plain.details and "intervals" not in roc.details
    assert roc.details["threshold"]["threshold_interval"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("TEST.THRESHOLD.KIND", "tpr"), "TEST.THRESHOLD.KIND must be fpr or far, got 'tpr'"),
        (("TEST.THRESHOLD.VALUE", 1.0), r"TEST.THRESHOLD.VALUE must be in \(0, 1\), got 1.0"),
        (("TEST.OPEN_SET.SHARE", 1.0), r"TEST.OPEN_SET.SHARE must be in \[0, 1\), got 1.0"),
        (("TEST.BOOTSTRAP.RESAMPLES", -1), "TEST.BOOTSTRAP.RESAMPLES must be >= 0, got -1"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ReidEvaluator(roc_cfg(*options), 1)


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


def test_bad_arguments():
    cfg = get_cfg()
    with pytest.raises(ValueError, match="num_query must be >= 0, got -1"):
        ReidEvaluator(cfg, -1)
    cfg.TEST.METRIC = "jaccard"
    with pytest.raises(KeyError, match=r"TEST\.METRIC: no 'jaccard'.*cosine, euclidean"):
        ReidEvaluator(cfg, 1)


@pytest.mark.parametrize("options", [["CAMERA_NORM", "DBA", "AQE"], ["RERANK"], []])
def test_the_memory_budget_changes_no_number(options):
    features, pids, camids, num_query = data(count=1300, num_query=50)
    found = []
    for memory_gb in (0.0002, 1.0):
        cfg = get_cfg()
        cfg.TEST.MEMORY_GB = memory_gb
        for name in options:
            cfg.TEST[name].ENABLED = True
        evaluator = filled(cfg, features, pids, camids, num_query)
        found.append((evaluator.evaluate(), evaluator.queries))
    assert found[0][0] == found[1][0]
    for name, values in found[0][1].items():
        np.testing.assert_array_equal(values, found[1][1][name])


def test_the_budget_that_an_error_asks_for_is_enough_for_pairs_and_blocks():
    """Of features as long as these, the smallest block takes more than what is set aside for one beside the pairs."""
    pids, camids = torch.arange(1220) % 4, torch.arange(1220) % 3
    features = FeatureSet(torch.randn(1220, 8192), pids, camids)
    query, gallery = features[:700], features[700:]

    def judge(memory_gb):
        return ReidEvaluator(num_query=700, roc=True, resamples=0, memory_gb=memory_gb).judge(query, gallery)

    with pytest.raises(ValueError, match=r"TEST\.ROC of 273000 pairs .* takes \d") as caught:
        judge(0.05)
    assert judge(float(re.search(r"takes ([\d.]+) GB", str(caught.value))[1]))


def test_a_budget_that_is_too_small_is_an_error_that_says_what_would_do():
    features, pids, camids, num_query = data(count=1300, num_query=50)
    cfg = get_cfg()
    cfg.TEST.MEMORY_GB = 1e-5
    with pytest.raises(ValueError, match=r"TEST\.MEMORY_GB \(memory_gb\) is 1e-05, but ranking 50 queries at a time"):
        filled(cfg, features, pids, camids, num_query).evaluate()
    cfg = roc_cfg("TEST.MEMORY_GB", 0.1)
    with pytest.raises(
        ValueError, match=r"is 0\.1, but TEST\.ROC of \d+ pairs of different identities takes 0\.1\d+ GB"
    ):
        filled(cfg, features, pids, camids, num_query).evaluate()
    cfg.TEST.MEMORY_GB = 0.2
    assert filled(cfg, features, pids, camids, num_query).evaluate()
    with pytest.raises(ValueError, match=r"TEST\.MEMORY_GB \(memory_gb\) must be > 0, got -1"):
        ReidEvaluator(num_query=1, memory_gb=-1)
