from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics

from fastreid.evaluation import pair_scores, rank_blocks
from fastreid.evaluation.features import FeatureSet
from fastreid.evaluation.pair_scores import BINS, PairScores, ScoreScale, scores_to_keep
from fastreid.evaluation.rank_blocks import rank_matches, sample_scores
from fastreid.evaluation.roc import area_under_curve, equal_error_rate, operating_point, roc_of_table
from fastreid.evaluation.scores import SCORE_REGISTRY, scores_of_pairs
from fastreid.evaluation.similarity import METRIC_REGISTRY

from .test_roc import eer_of_sklearn


def random_set(count, seed, *, identities=9, dimensions=6, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.randint(identities, (count,), generator=generator)
    centres = torch.randn(identities, dimensions, generator=torch.Generator().manual_seed(99))
    features = centres[pids] + spread * torch.randn(count, dimensions, generator=generator) + 1
    return FeatureSet(features, pids, torch.randint(3, (count,), generator=generator))


def scores_as_loops(query, gallery, metric):
    """Genuine and impostor scores of all pairs in float64, and the highest of each query."""
    genuine, impostors, best = [], [], []
    for q in range(len(query)):
        own, others = [], []
        for g in range(len(gallery)):
            x, y = query.features[q].double(), gallery.features[g].double()
            score = float(x @ y / (x.norm() * y.norm()) if metric == "cosine" else -(x - y).norm())
            if query.pids[q] != gallery.pids[g]:
                others.append(score)
            elif query.camids[q] != gallery.camids[g]:
                own.append(score)
        genuine, impostors = genuine + own, impostors + others
        best.append((max(own, default=-np.inf), max(others, default=-np.inf)))
    return np.array(genuine), np.array(impostors), np.array(best)


def table_of(query, gallery, metric="cosine", keep=None, held_out=(), memory_gb=0.25):
    scale = ScoreScale.of_sample(sample_scores(query, gallery, metric=metric))
    keep = len(query) * len(gallery) if keep is None else keep
    pairs = PairScores(len(query), scale=scale, keep=keep, held_out=held_out)
    rank_matches(query, gallery, metric=metric, consumer=pairs, memory_gb=memory_gb)
    return pairs.table()


def rates(table):
    total = int(table.impostors.sum())
    points = [operating_point(table.genuine, table.top, total, f)[0] for f in (1e-4, 1e-3, 1e-2)]
    curve = roc_of_table(table)
    return points, area_under_curve(curve), equal_error_rate(curve)[0]


def test_every_metric_has_scores():
    assert sorted(SCORE_REGISTRY) == sorted(METRIC_REGISTRY)


@pytest.mark.parametrize("metric", sorted(SCORE_REGISTRY))
@pytest.mark.parametrize("memory_gb", [1.7e-6, 1.0])
def test_what_is_kept_of_few_pairs_is_all(metric, memory_gb, monkeypatch):
    monkeypatch.setattr(rank_blocks, "_CHUNK", 8)  # of which one or two fit into the smaller memory
    query, gallery = random_set(9, 1), random_set(30, 2)
    genuine, impostors, best = scores_as_loops(query, gallery, metric)
    table = table_of(query, gallery, metric, memory_gb=memory_gb)
    tolerance = {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(np.sort(table.genuine), np.sort(genuine), **tolerance)
    np.testing.assert_allclose(table.top, np.sort(impostors)[::-1], **tolerance)
    np.testing.assert_allclose(np.stack([table.best_match, table.best_other], axis=1), best, **tolerance)
    np.testing.assert_array_equal(table.is_right, best[:, 0] > best[:, 1])
    assert table.counts.sum() == table.impostors.sum() == impostors.size
    expected = [int((query.pids[q] != gallery.pids).sum()) for q in range(9)]
    assert table.impostors.tolist() == expected
    for name in ("genuine_query", "top_query"):
        assert np.bincount(getattr(table, name), minlength=9).sum() == getattr(table, name).size
    assert np.bincount(table.top_query, minlength=9).tolist() == expected


@pytest.mark.parametrize("metric", sorted(SCORE_REGISTRY))
@pytest.mark.parametrize("memory_gb", [0.0003, 0.0005])
def test_a_gallery_in_parts_leaves_the_same_table(metric, memory_gb):
    query, gallery = random_set(70, 1), random_set(3000, 2)
    gallery.features[5:900] = gallery.features[1200:2095]
    options = {"keep": 5000, "held_out": np.flatnonzero(gallery.pids.numpy() == 3)}
    whole = table_of(query, gallery, metric, **options)
    parts = table_of(query, gallery, metric, **options, memory_gb=memory_gb)
    for name in ("top", "counts", "impostors", "best_other", "is_right", "genuine_query"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for name in ("genuine", "best_match"):  # may come from a product of another shape
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", sorted(SCORE_REGISTRY))
@pytest.mark.parametrize("keep", [1, 7, 40, 2000])
def test_the_highest_scores_are_kept(metric, keep, monkeypatch):
    monkeypatch.setattr(pair_scores, "_PIECE", 8)
    monkeypatch.setattr(pair_scores, "_PENDING", 20)
    query, gallery = random_set(20, 1), random_set(50, 2)
    gallery.features[5:20] = gallery.features[4]  # ties
    whole, part = table_of(query, gallery, metric), table_of(query, gallery, metric, keep)
    np.testing.assert_array_equal(part.top, whole.top[:keep])
    np.testing.assert_array_equal(part.counts, whole.counts)
    genuine_above = whole.top > part.top[-1]  # of the lowest one there may be more
    np.testing.assert_array_equal(
        np.sort(part.top_query[part.top > part.top[-1]]), np.sort(whole.top_query[genuine_above])
    )


def mixed(seed, spread, queries=60, gallery=900):
    return random_set(queries, seed, spread=spread, identities=20), random_set(
        gallery, seed + 1, spread=spread, identities=20
    )


@pytest.mark.parametrize("metric", sorted(SCORE_REGISTRY))
@pytest.mark.parametrize("kind", ["easy", "hard", "hopeless", "ties", "equal", "near one", "outlier"])
def test_rates_are_those_of_all_pairs(metric, kind):
    query, gallery = mixed(5, {"easy": 0.3, "hard": 1.2}.get(kind, 3.0))
    if kind == "ties":
        gallery.features[::3] = gallery.features[0]
    elif kind == "equal":
        query.features[:], gallery.features[:] = 1.0, 1.0
    elif kind == "near one":
        query.features.add_(300), gallery.features.add_(300)
    elif kind == "outlier":
        gallery.features[7] *= 1e6
    everything = table_of(query, gallery, metric)
    genuine, impostors = everything.genuine, everything.top
    kept = int(0.013 * impostors.size)  # a hundredth must be
    points, area, equal = rates(table_of(query, gallery, metric, keep=kept))
    truth = np.append(np.ones(genuine.size), np.zeros(impostors.size))
    scores = np.append(genuine, impostors)
    false, true, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert points == [true[false <= f].max() for f in (1e-4, 1e-3, 1e-2)]
    assert area == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-6)
    assert equal == pytest.approx(eer_of_sklearn(genuine, impostors), abs=1e-4)
    exact_points, exact_area, exact_equal = rates(everything)
    assert exact_points == points
    assert exact_area == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    assert exact_equal == pytest.approx(equal, abs=1e-4)


@pytest.mark.parametrize("metric", sorted(SCORE_REGISTRY))
def test_identities_held_out_are_no_rivals(metric):
    query, gallery = random_set(9, 1), random_set(30, 2)
    out = (gallery.pids < 3).nonzero().flatten().numpy()
    table = table_of(query, gallery, metric, held_out=out)
    _, _, best = scores_as_loops(query, gallery[gallery.pids >= 3], metric)
    np.testing.assert_allclose(table.best_other, best[:, 1], rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(table.top, table_of(query, gallery, metric).top)  # pairs stay pairs


@pytest.mark.parametrize("case", ["one image", "none", "junk only", "all genuine"])
def test_galleries_of_any_kind(case):
    query, gallery = random_set(4, 1), random_set({"one image": 1, "none": 0}.get(case, 6), 2)
    if case in ("junk only", "all genuine"):
        query.pids[:], gallery.pids[:], query.camids[:], gallery.camids[:] = 1, 1, 0, int(case == "all genuine")
    table = table_of(query, gallery)
    genuine, impostors, best = scores_as_loops(query, gallery, "cosine")
    assert (table.genuine.size, table.top.size) == (genuine.size, impostors.size)
    assert table.counts.sum() == impostors.size
    np.testing.assert_allclose(np.stack([table.best_match, table.best_other], axis=1), best, rtol=1e-5)


def test_ties_up_to_rounding_are_not_right():
    query, gallery = random_set(40, 1, dimensions=64), random_set(80, 2, dimensions=64)
    gallery.features[1::2] = gallery.features[::2]  # each match has a double of another identity
    gallery.pids[::2], gallery.pids[1::2] = gallery.pids[::2] % 9, gallery.pids[::2] % 9 + 100
    assert not table_of(query, gallery).is_right.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sample", [[], [0.5], [0.0, 0.0], [-3e8, 1.0, 5.0], [0.999999, 1.0]])
def test_bins_rise_with_the_score(dtype, sample):
    scale = ScoreScale.of_sample(np.array(sample))
    r = np.random.default_rng(0)
    scores = np.concatenate([r.normal(0, 10.0**power, 300) for power in range(-9, 9)] + [[0, 0.5, 1]])
    scores = np.sort(scores.astype(dtype))
    bins = scale.bins(np.append(dtype(-np.inf), scores))
    assert bins[0] == 0 and bins.min() >= 0 and bins.max() < BINS
    assert (np.diff(bins) >= 0).all()
    near = np.abs(scores - scale.centre) < 30 * scale.width  # far away, float32 knows no better
    lower, upper = scale.edges(bins[1:][near]), scale.edges(bins[1:][near] + 1)
    room = 1e-3 * scale.width + 1e-6 * abs(scale.centre)
    assert (lower <= scores[near] + room).all() and (scores[near] <= upper + room).all()
    assert scale.edges(np.array([0]))[0] == -np.inf


def test_how_many_scores_are_kept():
    assert scores_to_keep(1000) == 1000
    assert scores_to_keep(10_000_000) == 1 << 20
    assert scores_to_keep(1_000_000_000) > 1e-2 * 1_000_000_000 + 1
    assert scores_to_keep(10_000_000, 0.5) > 5_000_001


def test_the_consumer_leaves_ranks_as_they_are():
    query, gallery = random_set(9, 1), random_set(30, 2)
    pairs = PairScores(9, scale=ScoreScale(0.0, 1.0), keep=5)
    with_it = rank_matches(query, gallery, metric="euclidean", consumer=pairs)
    assert [r.tolist() for r in with_it] == [r.tolist() for r in rank_matches(query, gallery, metric="euclidean")]


def test_scores_of_pairs_are_their_definition():
    query, gallery = random_set(3, 1).features, random_set(4, 2).features
    for metric in ("cosine", "euclidean"):
        found = scores_of_pairs(query, gallery, metric=metric)
        assert found.shape == (3, 4) and found.dtype == np.float32
        for q in range(3):
            for g in range(4):
                x, y = query[q].double(), gallery[g].double()
                expected = x @ y / (x.norm() * y.norm()) if metric == "cosine" else -(x - y).norm()
                assert found[q, g] == pytest.approx(float(expected), abs=1e-5)
    assert scores_of_pairs(query, query[:0]).shape == (3, 0) and scores_of_pairs(query[:0], query).shape == (0, 3)
    np.testing.assert_array_equal(scores_of_pairs(query[:1], query[:1], metric="euclidean"), [[0.0]])


def test_scores_of_pairs_are_those_that_thresholds_are_found_among():
    query, gallery = random_set(5, 1), random_set(7, 2)
    for metric in ("cosine", "euclidean"):
        found = scores_of_pairs(query.features, gallery.features, metric=metric)
        np.testing.assert_allclose(found.reshape(-1), sample_scores(query, gallery, metric=metric), atol=1e-6)
    with pytest.raises(KeyError, match="no 'manhattan'"):
        scores_of_pairs(query.features, gallery.features, metric="manhattan")
    with pytest.raises(ValueError, match=r"must be \(Q, D\) and \(G, D\), got \(5, 6\) and \(7, 5\)"):
        scores_of_pairs(query.features, gallery.features[:, :5])
