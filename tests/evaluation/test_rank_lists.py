"""Rank lists are the evaluator's order: compared with sorted rows of matrices that are computed in another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import FeatureSet, aqe, build_evaluator, evaluate_rank, re_ranking
from fastreid.evaluation.rank_lists import JUNK, MATCH, OTHER, rank_matrix, rank_test

Q, G, D = 12, 60, 8


def images(count, seed, identities=9, cameras=3):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.randint(0, identities, (count,), generator=generator)
    centres = torch.randn(identities, D, generator=torch.Generator().manual_seed(99))
    features = centres[pids] + torch.randn(count, D, generator=generator)
    return FeatureSet(features, pids, torch.randint(0, cameras, (count,), generator=generator))


def ranked(query, gallery, *options, length=20):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(list(options))
    evaluator = build_evaluator(cfg, len(query))
    test = rank_test(evaluator.placed_retrieval(query, gallery), length=length, memory_gb=cfg.TEST.MEMORY_GB)
    evaluator.judge(query, gallery)
    return test, evaluator


def cosine_distances(query, gallery):
    return 1 - torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(gallery).t()


def distances(name, query, gallery):
    """A matrix (Q, G) by the library's functions for matrices, not by blocks."""
    if name == "plain":
        return cosine_distances(query.features, gallery.features).numpy()
    if name == "euclidean":
        return torch.cdist(query.features, gallery.features).numpy()
    if name == "aqe":
        return cosine_distances(*aqe(query.features, gallery.features, 1, 5, 3.0)).numpy()
    unit = torch.nn.functional.normalize(torch.cat([query.features, gallery.features]).double())
    square = torch.cdist(unit, unit).numpy()
    q_g, q_q, g_g = square[:Q, Q:], square[:Q, :Q], square[Q:, Q:]
    return re_ranking(q_g, q_q, g_g, k1=8, k2=3, lambda_value=0.3)


OPTIONS = {
    "plain": (),
    "euclidean": ("TEST.METRIC", "euclidean"),
    "aqe": ("TEST.AQE.ENABLED", True, "TEST.AQE.QE_K", 5, "TEST.AQE.ALPHA", 3.0, "TEST.AQE.QE_TIME", 1),
    "rerank": ("TEST.RERANK.ENABLED", True, "TEST.RERANK.K1", 8, "TEST.RERANK.K2", 3),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_lists_are_the_sorted_rows_of_the_matrix(name):
    query, gallery = images(Q, 0), images(G, 1)
    test, evaluator = ranked(query, gallery, *OPTIONS[name])
    matrix = distances(name, query, gallery)
    for number, found in enumerate(test.lists(range(Q))):
        same = gallery.pids == query.pids[number]
        junk = (same & (gallery.camids == query.camids[number])).numpy()
        order = np.argsort(matrix[number], kind="stable")
        valid = order[~junk[order]][:20]
        last = np.flatnonzero(order == valid[-1])[0]
        assert found.query == number
        np.testing.assert_array_equal(found.places - Q, order[: last + 1])
        kinds = np.where(junk, JUNK, np.where(same, MATCH, OTHER))
        np.testing.assert_array_equal(found.kinds, kinds[order[: last + 1]])
        np.testing.assert_array_equal(found.ranks[found.kinds != JUNK], np.arange(1, 21))
        assert not found.ranks[found.kinds == JUNK].any()
        matches = [place for place in order[~junk[order]] if same[place]]
        np.testing.assert_array_equal(found.match_places - Q, matches)
        assert found.average_precision == pytest.approx(evaluator.queries["mAP"][number], abs=0, nan_ok=True)
        assert np.all(np.diff(found.scores) <= 1e-6)
        nearest = next(rank for rank in range(1, 21) if found.kinds[found.ranks == rank][0] == OTHER)
        assert test.best_others()[number] == found.scores[found.ranks == nearest][0]
        if name in ("plain", "euclidean"):
            scores = -matrix[number] if name == "euclidean" else 1 - matrix[number]
            np.testing.assert_allclose(found.scores, scores[found.places - Q], atol=1e-5)
            np.testing.assert_allclose(found.match_scores, scores[found.match_places - Q], atol=1e-5)


def test_equal_scores_stand_as_the_evaluator_counts_them():
    query, gallery = images(4, 0), images(G, 1)
    same = [FeatureSet(torch.ones_like(of.features), of.pids, of.camids) for of in (query, gallery)]
    test, _ = ranked(*same, length=G)
    for found, ranks in zip(test.lists(range(4)), test.ranks):
        valid = found.kinds[found.kinds != JUNK]
        np.testing.assert_array_equal(np.flatnonzero(valid == MATCH) + 1, ranks)
        assert (valid[: (valid == OTHER).sum()] == OTHER).all()


def test_a_gallery_in_parts_gives_the_same_lists():
    query, gallery = images(Q, 0), images(3000, 1)
    whole, _ = ranked(query, gallery)
    parts, _ = ranked(query, gallery, "TEST.MEMORY_GB", 1e-4)
    for one, two in zip(whole.lists(range(Q)), parts.lists(range(Q))):
        np.testing.assert_array_equal(one.places, two.places)
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-6)


def test_short_galleries_end_their_lists():
    query, gallery = images(Q, 0), images(3, 1)
    test, _ = ranked(query, gallery)
    for number, found in enumerate(test.lists(range(Q))):
        junk = (gallery.pids == query.pids[number]) & (gallery.camids == query.camids[number])
        assert len(found.places) == len(set(found.places.tolist()))
        assert (found.ranks > 0).sum() == 3 - junk.sum()


def test_without_another_identity_there_is_no_nearest_one():
    alone = FeatureSet(torch.ones(1, D), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    gallery = FeatureSet(torch.ones(2, D), torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64))
    test, _ = ranked(alone, gallery)
    assert np.isnan(test.best_others()).tolist() == [True]


def test_a_query_without_a_match_has_a_list():
    query, gallery = images(2, 0), images(G, 1)
    alone = FeatureSet(query.features, torch.tensor([77, int(query.pids[1])]), query.camids)
    test, _ = ranked(alone, gallery)
    found = test.lists([0])[0]
    assert np.isnan(found.average_precision)
    assert found.match_places.size == 0
    assert (found.kinds == OTHER).all()


def test_leave_one_out_shows_no_image_to_itself():
    query, gallery = images(0, 0), images(G, 1)
    options = ("TEST.PROTOCOL", "leave_one_out", "TEST.EVALUATOR", "RetrievalEvaluator")
    test, evaluator = ranked(query, gallery, *options)
    matrix = cosine_distances(gallery.features, gallery.features).fill_diagonal_(torch.inf).numpy()
    for number, found in enumerate(test.lists(range(G))):
        np.testing.assert_array_equal(found.places, np.argsort(matrix[number], kind="stable")[:20])
        assert JUNK not in found.kinds
    np.testing.assert_array_equal(test.numbers["mAP"], evaluator.queries["mAP"])


def test_drawn_galleries_show_the_first_split():
    query, gallery = images(5, 0), images(G, 1)
    gallery = FeatureSet(gallery.features, gallery.pids, torch.arange(G) + 10)
    query = FeatureSet(query.features, query.pids, torch.arange(5))
    test, evaluator = ranked(query, gallery, "TEST.EVALUATOR", "RandomGalleryEvaluator")
    first = evaluator.queries["split"] == 0
    np.testing.assert_array_equal(test.query_places, evaluator.queries["place"][first])
    np.testing.assert_array_equal(test.numbers["mAP"], evaluator.queries["mAP"][first])
    assert not set(test.query_places.tolist()) & set(test.gallery_places.tolist())
    assert len(test) + len(test.gallery_places) == 5 + G


def test_lengths_that_were_not_kept_are_an_error():
    query, gallery = images(2, 0), images(G, 1)
    test, _ = ranked(query, gallery)
    assert len(test.lists([1], length=3)[0].ranks[test.lists([1], length=3)[0].ranks > 0]) == 3
    with pytest.raises(ValueError, match="from 1 to 20, which were kept, got 21"):
        test.lists([0], length=21)
    with pytest.raises(ValueError, match="length must be at least 1 image, got 0"):
        ranked(query, gallery, length=0)


def test_a_matrix_gives_the_same_lists():
    query, gallery = images(Q, 0), images(G, 1)
    test, evaluator = ranked(query, gallery, "TEST.METRIC", "euclidean")
    distances = torch.cdist(query.features.double(), gallery.features.double()).numpy()
    before = distances.copy()
    labels = [of.numpy() for of in (query.pids, gallery.pids, query.camids, gallery.camids)]
    matrix = rank_matrix(distances, *labels, length=20)
    np.testing.assert_array_equal(distances, before)
    np.testing.assert_array_equal(matrix.numbers["mAP"], evaluator.queries["mAP"])
    for one, two in zip(test.lists(range(Q)), matrix.lists(range(Q)), strict=True):
        for name in ("query", "places", "kinds", "ranks", "match_places", "match_ranks", "average_precision"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        for name in ("scores", "match_scores"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=1e-5)


def test_ties_of_a_matrix_are_those_of_evaluate_rank():
    query, gallery = images(Q, 0), images(G, 1)
    distances = np.random.default_rng(0).integers(0, 4, (Q, G)) / 2
    labels = [of.numpy() for of in (query.pids, gallery.pids, query.camids, gallery.camids)]
    matrix = rank_matrix(distances, *labels, length=G)
    precision = evaluate_rank(distances, *labels)[1]
    found = matrix.numbers["mAP"]
    np.testing.assert_allclose(found[~np.isnan(found)], precision, rtol=1e-12)
    for number, found in enumerate(matrix.lists(range(Q))):
        same = labels[1] == labels[0][number]
        junk = same & (labels[3] == labels[2][number])
        # of equals other identities come first, true matches next, junk last
        order = np.lexsort((np.arange(G), junk, same, distances[number]))
        shown = order[: len(found.places)]
        np.testing.assert_array_equal(found.places - Q, shown)
        assert junk[order[len(shown) :]].all()


def test_a_matrix_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="distmat must be"):
        rank_matrix(np.zeros((2, 3)), [1, 2], [1, 2], [0, 0], [0, 0])
    with pytest.raises(ValueError, match="length must be at least 1 image, got 0"):
        rank_matrix(np.zeros((1, 1)), [1], [1], [0], [1], length=0)
    with pytest.raises(ValueError, match="query 0"):
        rank_matrix(np.full((1, 1), np.nan), [1], [1], [0], [1])
