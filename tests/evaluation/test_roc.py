from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from fastreid.evaluation.roc import (
    area_under_curve,
    equal_error_rate,
    evaluate_roc,
    evaluate_roc_py,
    operating_point,
    roc_of_scores,
)


def labels(seed=0, queries=7, gallery=23, identities=4):
    r = np.random.default_rng(seed)
    pids = r.integers(identities, size=queries), r.integers(identities, size=gallery)
    return r, *pids, r.integers(3, size=queries), r.integers(3, size=gallery)


def pairs_as_loops(distmat, q_pids, g_pids, q_camids, g_camids):
    scores, genuine = [], []
    for q in range(len(q_pids)):
        for g in range(len(g_pids)):
            if q_pids[q] == g_pids[g] and q_camids[q] == g_camids[g]:
                continue
            scores.append(-distmat[q, g])
            genuine.append(int(q_pids[q] == g_pids[g]))
    return scores, genuine


def best_rate_as_loops(genuine, impostors, wanted):
    best = 0.0
    for threshold in [*genuine, *impostors]:
        if np.mean(np.asarray(impostors) >= threshold) <= wanted:
            best = max(best, np.mean(np.asarray(genuine) >= threshold))
    return best


def eer_of_sklearn(genuine, impostors):
    truth = np.append(np.ones(len(genuine)), np.zeros(len(impostors)))
    false, true, _ = metrics.roc_curve(truth, np.append(genuine, impostors), drop_intermediate=False)
    at = np.linspace(0, 1, 2_000_001)
    gap = at - (1 - np.interp(at, false, true))
    return at[np.argmin(np.abs(gap))]


def cases():
    r = np.random.default_rng(3)
    yield "random", r.normal(1, 1, 40), r.normal(0, 1, 300)
    yield "ties", r.integers(2, 6, 40).astype(float), r.integers(0, 5, 300).astype(float)
    yield "all equal", np.full(5, 0.5), np.full(9, 0.5)
    yield "separate", np.array([3.0, 4.0]), np.array([1.0, 2.0])
    yield "upside down", np.array([1.0, 2.0]), np.array([3.0, 4.0])
    yield "one each", np.array([0.1]), np.array([0.2])


CASES = {name: (genuine, impostors) for name, genuine, impostors in cases()}


@pytest.mark.parametrize("kind", ["random", "ties", "junk only", "one image"])
def test_all_pairs_but_the_junk(kind):
    r, *who = labels(gallery=1 if kind == "one image" else 23)
    if kind == "junk only":
        for array in who:
            array[:] = 1
    distmat = r.integers(3, size=(7, who[1].size)).astype(float) if kind == "ties" else r.random((7, who[1].size))
    scores, genuine = evaluate_roc(distmat, *who)
    expected = pairs_as_loops(distmat, *who)
    assert (scores.tolist(), genuine.tolist()) == expected
    assert all(np.array_equal(a, b) for a, b in zip(evaluate_roc_py(distmat, *who), (scores, genuine), strict=True))
    if kind == "random":  # genuine pairs are positives: closer is better than chance once distances say who is who
        distmat += who[0][:, None] != who[1]
        assert metrics.roc_auc_score(*reversed(evaluate_roc(distmat, *who, use_cython=False))) == 1


def test_a_distance_that_is_no_number_is_an_error():
    r, *who = labels()
    distmat = r.random((7, 23))
    distmat[4, 2] = np.nan
    with pytest.raises(ValueError, match="the distance of query 4 to the gallery has 1 of 23 values that are NaN"):
        evaluate_roc(distmat, *who)
    with pytest.raises(ValueError, match=r"distmat must be \(queries, gallery\)"):
        evaluate_roc(distmat[:, :3], *who)


@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_scikit_learn(name):
    genuine, impostors = CASES[name]
    truth = np.append(np.ones(genuine.size), np.zeros(impostors.size))
    curve = roc_of_scores(genuine, impostors)
    assert area_under_curve(curve) == pytest.approx(metrics.roc_auc_score(truth, np.append(genuine, impostors)))
    rate, threshold = equal_error_rate(curve)
    assert rate == pytest.approx(eer_of_sklearn(genuine, impostors), abs=2e-6)
    assert np.mean(impostors >= threshold) >= np.mean(genuine < threshold)
    false, true, thresholds = metrics.roc_curve(truth, np.append(genuine, impostors), drop_intermediate=False)
    np.testing.assert_array_equal(curve.false_positives / impostors.size, false[1:])
    np.testing.assert_array_equal(curve.true_positives / genuine.size, true[1:])
    np.testing.assert_array_equal(curve.thresholds, thresholds[1:])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wanted", [0.0, 1e-4, 0.1, 1 / 9, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_highest_rate_at_or_below(name, wanted, dtype):
    genuine, impostors = (scores.astype(dtype) for scores in CASES[name])
    rate, threshold = operating_point(genuine, np.sort(impostors)[::-1], impostors.size, wanted)
    assert rate == best_rate_as_loops(genuine, impostors, wanted)
    assert np.mean(impostors >= dtype(threshold)) <= wanted
    assert np.mean(genuine >= dtype(threshold)) == rate


def test_a_rate_is_as_exact_as_its_count():
    negatives = np.arange(1000.0)[::-1]
    for count in range(1000):  # count / 1000 as a float, however it is rounded
        assert operating_point(negatives, negatives, 1000, count / 1000)[0] == count / 1000


def test_rates_that_are_not_defined():
    some, none = np.ones(3), np.empty(0)
    for genuine, impostors in ((some, none), (none, some), (none, none)):
        curve = roc_of_scores(genuine, impostors)
        assert area_under_curve(curve) is None
        assert equal_error_rate(curve) is None
        assert operating_point(genuine, impostors, impostors.size, 0.1) is None
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got 1"):
        operating_point(some, some, 3, 1)
    with pytest.raises(ValueError, match=r"a rate of 0\.5 of 8 negatives is 4, but only 3 scores were kept"):
        operating_point(some, some, 8, 0.5)
