from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fastreid.evaluation import rank
from fastreid.evaluation.rank import (
    IdentityIndex,
    eval_cuhk03,
    eval_market1501,
    evaluate_py,
    evaluate_rank,
    match_ranks,
    rank_rows,
)


def ranks_by_sorting(similarity, is_match, is_junk):
    """The definition: sort the valid images, best first, on ties the others before the matches; read off the places."""
    valid = [g for g in range(len(similarity)) if not is_junk[g]]
    order = sorted(valid, key=lambda g: (-similarity[g], is_match[g]))
    return [place for place, g in enumerate(order, start=1) if is_match[g]]


def results_by_sorting(distmat, q_pids, g_pids, q_camids, g_camids, max_rank):
    """CMC, AP and INP as loops over a sorted gallery."""
    curve, precisions, penalties = np.zeros(max_rank), [], []
    for q in range(len(q_pids)):
        same = [g_pids[g] == q_pids[q] for g in range(len(g_pids))]
        junk = [same[g] and g_camids[g] == q_camids[q] for g in range(len(g_pids))]
        match = [same[g] and not junk[g] for g in range(len(g_pids))]
        places = ranks_by_sorting([-d for d in distmat[q]], match, junk)
        if not places:
            continue
        precisions.append(sum((i + 1) / place for i, place in enumerate(places)) / len(places))
        penalties.append(len(places) / places[-1])
        for k in range(1, max_rank + 1):
            curve[k - 1] += any(place <= k for place in places)
    return curve / max(len(precisions), 1), precisions, penalties


def random_problem(rng, queries, gallery, identities, *, ties):
    distmat = rng.random((queries, gallery))
    if ties:
        distmat = np.round(distmat, 1)
    labels = [rng.integers(0, identities, queries), rng.integers(0, identities, gallery)]
    cameras = [rng.integers(0, 3, queries), rng.integers(0, 3, gallery)]
    return distmat, *labels, *cameras


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_match_ranks_are_the_places_in_the_sorted_gallery(ties, dtype):
    rng = np.random.default_rng(0)
    for _ in range(100):
        size = int(rng.integers(0, 30))
        similarity = rng.random(size).astype(dtype)
        similarity = np.round(similarity, 1) if ties else similarity
        role = rng.integers(0, 4, size)
        found = match_ranks(similarity, role == 0, role == 1)
        assert found.dtype == np.int64
        assert found.tolist() == ranks_by_sorting(similarity.tolist(), role == 0, role == 1)


@pytest.mark.parametrize(("values", "bars"), [(1, 1), (7, 3), (64, 16)])
def test_ranks_do_not_depend_on_how_many_are_compared_at_once(values, bars, monkeypatch):
    monkeypatch.setattr(rank, "_VALUES_AT_A_TIME", values)
    monkeypatch.setattr(rank, "_BARS_AT_A_TIME", bars)
    rng = np.random.default_rng(0)
    similarity, role = np.round(rng.random(50), 1), rng.integers(0, 3, 50)
    expected = ranks_by_sorting(similarity.tolist(), role == 0, role == 1)
    assert match_ranks(similarity, role == 0, role == 1).tolist() == expected


@pytest.mark.parametrize("size", [1, 8, 2039, 2040, 2041, 32639, 32640, 32641, 100_003])
def test_no_count_runs_over(size):
    """Whatever reaches a bar, from nothing to everything, is counted to the last one."""
    values = np.arange(size, dtype=np.float32)
    bars = np.array([0.0, 0.5, size / 2, size - 1, size])
    assert rank._count_reaching(values, bars).tolist() == [np.count_nonzero(values >= bar) for bar in bars]


def test_a_constant_score_ranks_the_matches_last():
    is_match = np.array([True, False, False, True, False])
    assert match_ranks(np.ones(5), is_match, np.zeros(5, bool)).tolist() == [4, 5]


def test_match_ranks_without_a_match_or_a_gallery():
    nothing = np.zeros(3, bool)
    assert match_ranks(np.ones(3), nothing, nothing).tolist() == []
    assert match_ranks(np.ones(0), nothing[:0], nothing[:0]).tolist() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_match_ranks_says_how_many_values_are_not_finite(bad):
    with pytest.raises(ValueError, match="2 of 3 values that are NaN or infinite"):
        match_ranks(np.array([bad, 1.0, bad]), np.array([False, True, False]), np.zeros(3, bool))


def test_match_ranks_leaves_its_arguments_alone():
    similarity, is_match, is_junk = np.array([0.3, 0.1, 0.2]), np.array([1, 1, 0], bool), np.array([0, 0, 1], bool)
    copies = similarity.copy(), is_match.copy(), is_junk.copy()
    match_ranks(similarity, is_match, is_junk)
    for now, before in zip((similarity, is_match, is_junk), copies):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("names", [np.array([3, -1, 3, 0, 3]), np.array(["c", "", "c", "a", "c"])])
def test_identity_index_finds_matches_and_junk(names):
    index = IdentityIndex(names, np.array([0, 0, 1, 0, 0]))
    matches, junk = index.lookup(names[0].item(), 0)
    assert (matches.tolist(), junk.tolist()) == ([2], [0, 4])
    assert [part.tolist() for part in index.lookup("unknown", 0)] == [[], []]


def test_rank_rows_names_the_query_with_a_bad_similarity():
    similarity = np.ones((3, 4))
    similarity[2, 1] = np.nan
    index = IdentityIndex(np.arange(4), np.zeros(4))
    with pytest.raises(ValueError, match="query 12 to the gallery has 1 of 4 values"):
        rank_rows(similarity, np.arange(3), np.ones(3), index, first_query=10)


@pytest.mark.parametrize("ties", [False, True])
def test_evaluate_rank_is_its_definition(ties):
    rng = np.random.default_rng(1)
    for _ in range(30):
        problem = random_problem(rng, 12, int(rng.integers(1, 40)), int(rng.integers(1, 8)), ties=ties)
        curve, precision, penalty = evaluate_rank(*problem, max_rank=15)
        expected = results_by_sorting(*problem, 15)
        np.testing.assert_allclose(curve, expected[0], rtol=1e-12)
        np.testing.assert_allclose(precision, expected[1], rtol=1e-12)
        np.testing.assert_allclose(penalty, expected[2], rtol=1e-12)


def test_average_precision_agrees_with_scikit_learn_where_there_are_no_ties():
    rng = np.random.default_rng(2)
    distmat, q_pids, g_pids, q_camids, g_camids = random_problem(rng, 20, 60, 5, ties=False)
    _, precision, _ = evaluate_rank(distmat, q_pids, g_pids, q_camids, g_camids)
    expected = []
    for q in range(20):
        keep = (g_pids != q_pids[q]) | (g_camids != q_camids[q])
        truth = (g_pids == q_pids[q])[keep]
        if truth.any():
            expected.append(average_precision_score(truth, -distmat[q][keep]))
    np.testing.assert_allclose(precision, expected, rtol=1e-12)


def test_one_identity_everywhere():
    curve, precision, penalty = evaluate_rank(
        np.random.rand(2, 5), [7, 7], [7] * 5, [0, 1], [0, 0, 1, 1, 1], max_rank=3
    )
    assert curve.tolist() == [1, 1, 1]
    assert precision.tolist() == penalty.tolist() == [1, 1]


@pytest.mark.parametrize("gallery", [1, 9])
def test_small_galleries_have_a_curve_of_full_length(gallery):
    distances = np.arange(gallery, dtype=float)[None]
    pids = np.arange(gallery)
    curve, precision, _ = evaluate_rank(distances, [gallery - 1], pids, [0], np.ones(gallery), max_rank=50)
    assert curve.tolist() == [0.0] * (gallery - 1) + [1.0] * (51 - gallery)
    assert precision.tolist() == [1 / gallery]


def test_an_empty_gallery_gives_zeros_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        curve, precision, penalty = evaluate_rank(np.zeros((2, 0)), [0, 1], [], [0, 0], [], max_rank=10)
    assert curve.tolist() == [0.0] * 10
    assert precision.size == penalty.size == 0
    assert "None of 2 queries has a true match" in caplog.text


def test_no_query_at_all():
    curve, precision, _ = evaluate_rank(np.zeros((0, 3)), [], [0, 1, 2], [], [0, 0, 0], max_rank=2)
    assert (curve.tolist(), precision.size) == ([0.0, 0.0], 0)


def test_queries_without_a_match_are_left_out_with_a_count(caplog):
    distmat = np.array([[0.1, 0.2], [0.1, 0.2], [0.1, 0.2]])
    with caplog.at_level(logging.WARNING):
        curve, precision, _ = evaluate_rank(distmat, [0, 5, 1], [0, 1], [0, 0, 1], [1, 1], max_rank=1)
    assert "2 of 3 queries have no true match" in caplog.text  # identity 5 is nowhere, that of query 2 is junk
    assert (curve.tolist(), precision.tolist()) == ([1.0], [1.0])


def test_integer_distances_are_distances():
    distmat = np.array([[3, 1, 2]], dtype=np.uint8)  # whose negatives would wrap around
    _, precision, _ = evaluate_rank(distmat, [0], [0, 1, 1], [0], [1, 1, 1])
    assert precision.tolist() == [1 / 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_evaluate_rank_names_the_query_with_a_bad_distance(bad):
    distmat = np.ones((3, 4))
    distmat[1, 2:] = bad
    with pytest.raises(ValueError, match="query 1 to the gallery has 2 of 4 values"):
        evaluate_rank(distmat, [0, 1, 2], [0, 1, 2, 3], [0, 0, 0], [1, 1, 1, 1])


def test_shapes_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match=r"distmat \(2, 3\), pids \(2, 2\)"):
        evaluate_rank(np.zeros((2, 3)), [0, 1], [0, 1], [0, 0], [1, 1])


def test_the_old_addresses_agree():
    problem = random_problem(np.random.default_rng(3), 6, 20, 4, ties=False)
    first = evaluate_rank(*problem, max_rank=8, use_cython=False)
    for other in (eval_market1501(*problem, 8), evaluate_py(*problem, 8, False)):
        for ours, theirs in zip(first, other):
            np.testing.assert_array_equal(ours, theirs)


def test_nothing_sorts_a_row(monkeypatch):
    """The rank of a match is a count: only what shares the query's identity may be sorted."""
    sizes = []
    sort = np.sort
    monkeypatch.setattr(rank.np, "sort", lambda array, **kwargs: sizes.append(len(array)) or sort(array, **kwargs))
    monkeypatch.setattr(rank.np, "argsort", lambda *_, **__: pytest.fail("argsort of a row"))
    is_match = np.arange(1000) < 5
    match_ranks(np.random.rand(1000), is_match, np.zeros(1000, bool))
    assert sizes
    assert max(sizes) == 5


def test_single_gallery_shot_draws_one_image_of_each_identity():
    """Identity 0 has a near and a far image, identity 1 one between them: rank 1 in half of the draws."""
    distmat = np.array([[0.1, 0.9, 0.5, 0.0]])
    curve, precision, penalty = eval_cuhk03(distmat, [0], [0, 0, 1, 0], [0], [1, 1, 1, 0], 3, repeats=1500)
    assert curve[0] == pytest.approx(0.5, abs=0.05)
    assert curve[1:].tolist() == [1.0, 1.0]
    assert precision.tolist() == [pytest.approx((1 + 2 / 3) / 2)]  # of the whole gallery, without the junk
    assert penalty.tolist() == [pytest.approx(2 / 3)]


def test_single_gallery_shot_equals_the_full_gallery_when_there_is_one_image_each():
    rng = np.random.default_rng(4)
    distmat = rng.random((5, 8))
    labels = (distmat, np.arange(5), rng.permutation(8), np.zeros(5), np.ones(8))
    for ours, theirs in zip(evaluate_rank(*labels, 6, use_metric_cuhk03=True), evaluate_rank(*labels, 6)):
        np.testing.assert_allclose(ours, theirs)


def test_single_gallery_shot_can_be_repeated():
    problem = random_problem(np.random.default_rng(5), 10, 50, 5, ties=False)
    first, again, other = (eval_cuhk03(*problem, 5, seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        eval_cuhk03(*problem, 5, repeats=0)


@pytest.mark.parametrize("bars", [1, 512, 513, 2000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_matches_is_counted_by_the_definition(bars, dtype):
    r = np.random.default_rng(0)
    similarity = (r.integers(50, size=5000) / 50).astype(dtype)  # many ties
    is_match = np.zeros(5000, dtype=bool)
    is_match[r.choice(5000, size=bars, replace=False)] = True
    is_junk = ~is_match & (r.random(5000) < 0.1)
    matches = np.sort(similarity[is_match])[::-1]
    others = similarity[~is_match & ~is_junk]
    expected = [(others >= score).sum() + number + 1 for number, score in enumerate(matches)]
    np.testing.assert_array_equal(match_ranks(similarity, is_match, is_junk), expected)
