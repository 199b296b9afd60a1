from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.evaluation import rank_blocks
from fastreid.evaluation.features import FeatureSet
from fastreid.evaluation.rank import match_ranks
from fastreid.evaluation.rank_blocks import Adjustment, rank_matches
from fastreid.evaluation.similarity import METRIC_REGISTRY, origin_of


def least(queries, gallery, dimensions=6, chunk=512):
    """Return the memory, in GB, of a block of all queries and one chunk of the gallery."""
    columns = min(gallery, chunk)
    return (12 * dimensions * (queries + columns) + 4 * queries * columns) / 1e9


def random_set(count, *, dimensions=6, identities=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, dimensions, generator=generator, dtype=dtype) * 3 + 1
    pids = torch.randint(identities, (count,), generator=generator)
    return FeatureSet(features, pids, torch.randint(3, (count,), generator=generator))


def similarity_as_loops(q, g, metric):
    q, g = q.double(), g.double()
    if metric == "cosine":
        return float(q @ g / (q.norm() * g.norm()))
    return -float(((q - g) ** 2).sum())


def ranks_as_loops(query, gallery, metric):
    ranks = []
    for q in range(len(query)):
        similarity = np.array([similarity_as_loops(query.features[q], row, metric) for row in gallery.features])
        same = (gallery.pids == query.pids[q]).numpy()
        junk = same & (gallery.camids == query.camids[q]).numpy()
        ranks.append(match_ranks(similarity, same & ~junk, junk).tolist())
    return ranks


@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
@pytest.mark.parametrize("times", [1, 2, 1e6])
@pytest.mark.parametrize("chunk", [1, 7, 2048])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ranks_are_those_of_the_definition(metric, times, chunk, dtype, monkeypatch):
    monkeypatch.setattr(rank_blocks, "_CHUNK", chunk)
    query, gallery = random_set(11, seed=1, dtype=dtype), random_set(33, seed=2, dtype=dtype)
    ranks = rank_matches(query, gallery, metric=metric, memory_gb=times * least(11, 33, chunk=chunk))
    assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, metric)


@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
def test_features_are_not_changed(metric):
    query, gallery = random_set(5, seed=1), random_set(9, seed=2)
    before = query.features.clone(), gallery.features.clone()
    rank_matches(query, gallery, metric=metric)
    assert torch.equal(query.features, before[0])
    assert torch.equal(gallery.features, before[1])


def test_half_precision_features_are_compared_in_float32():
    query, gallery = random_set(5, seed=1, dtype=torch.float16), random_set(20, seed=2, dtype=torch.float16)
    ranks = rank_matches(query, gallery)
    assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, "cosine")


def test_euclidean_distances_survive_a_large_common_offset():
    query, gallery = random_set(8, seed=1), random_set(30, seed=2)
    expected = ranks_as_loops(query, gallery, "euclidean")
    moved = [FeatureSet((s.features + 3000).float(), s.pids, s.camids) for s in (query, gallery)]
    assert [r.tolist() for r in rank_matches(*moved, metric="euclidean")] == expected


@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
@pytest.mark.parametrize("gallery_size", [0, 1, 9])
def test_galleries_of_any_size(metric, gallery_size):
    query, gallery = random_set(6, seed=1, identities=2), random_set(gallery_size, seed=2, identities=2)
    ranks = rank_matches(query, gallery, metric=metric)
    assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, metric)


@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
@pytest.mark.parametrize(
    ("query_dtype", "gallery_dtype"), [(torch.float32, torch.float64), (torch.float16, torch.float32)]
)
def test_queries_and_gallery_may_differ_in_precision(metric, query_dtype, gallery_dtype):
    query, gallery = random_set(6, seed=1, dtype=query_dtype), random_set(20, seed=2, dtype=gallery_dtype)
    assert [r.tolist() for r in rank_matches(query, gallery, metric=metric)] == ranks_as_loops(query, gallery, metric)
    assert [r.tolist() for r in rank_matches(gallery, query, metric=metric)] == ranks_as_loops(gallery, query, metric)


def test_no_query():
    assert rank_matches(random_set(0), random_set(4)) == []


def test_ties_count_against_the_match():
    same = torch.tensor([[1.0, 0.0]])
    query = FeatureSet(same, torch.tensor([0]), torch.tensor([0]))
    gallery = FeatureSet(same.repeat(4, 1), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 1, 1]))
    for metric in METRIC_REGISTRY:
        assert rank_matches(query, gallery, metric=metric)[0].tolist() == [3, 4]


@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
def test_a_similarity_that_is_not_finite_names_the_query(metric, monkeypatch):
    query, gallery = random_set(5, seed=1), random_set(7, seed=2)
    query.features[3, 0] = torch.nan
    with pytest.raises(ValueError, match="query 3 to the gallery has 7 of 7 values"):
        rank_matches(query, gallery, metric=metric, memory_gb=least(5, 7))
    with pytest.raises(ValueError, match="query 3 to gallery images from 0 on has 2 of 2 values"):
        monkeypatch.setattr(rank_blocks, "_CHUNK", 2)
        rank_matches(query, gallery, metric=metric, memory_gb=least(5, 2))


@pytest.mark.parametrize("size", [1e18, 1e20])
def test_similarities_that_may_overflow_are_looked_at(size):
    query, gallery = random_set(3, seed=1, dtype=torch.float32), random_set(7, seed=2, dtype=torch.float32)
    for images in (query, gallery):
        images.features.abs_().mul_(size)
    if size < 1e19:
        ranks = rank_matches(query, gallery, metric="euclidean")
        assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, "euclidean")
    else:
        with pytest.raises(ValueError, match="query 0 to the gallery has 7 of 7 values that are NaN or infinite"):
            rank_matches(query, gallery, metric="euclidean")


@pytest.mark.parametrize("place", [0, 20])
@pytest.mark.parametrize("size", [1e5, 1e6])
def test_one_gallery_image_far_away_changes_nothing_for_the_others(place, size, monkeypatch):
    monkeypatch.setattr(rank_blocks, "_CHUNK", 10)
    query, gallery = (random_set(n, seed=n, dimensions=64, dtype=torch.float32) for n in (9, 40))
    gallery.features[place] *= size
    ranks = rank_matches(query, gallery, metric="euclidean")
    assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, "euclidean")


@pytest.mark.parametrize("size", [1e-25, 1e19, 1e30])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 4)])
def test_cosines_of_features_whose_squares_do_not_fit(size, rows):
    query, gallery = (random_set(n, seed=n, dimensions=64, dtype=torch.float32) for n in (9, 40))
    for images in (query, gallery):
        images.features[rows] *= size
    ranks = rank_matches(query, gallery)
    assert [r.tolist() for r in ranks] == ranks_as_loops(query, gallery, "cosine")


def test_the_block_is_the_only_large_buffer(monkeypatch):
    """No tensor of the size of the whole matrix is made."""
    query, gallery = random_set(40, seed=1), random_set(50, seed=2)
    seen = []
    fill = rank_blocks._fill
    monkeypatch.setattr(rank_blocks, "_fill", lambda block, *rest: seen.append(block) or fill(block, *rest))
    budget = 12 * 6 * 50 + 5 * (4 * 50 + 12 * 6) + 1  # room for five queries
    rank_matches(query, gallery, memory_gb=budget / 1e9, adjust=lambda number: Adjustment(1.0, np.zeros(50)))
    assert [len(block) for block in seen] == [5] * 8
    assert len({block.data_ptr() for block in seen}) == 1


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("adjusted", [False, True])
def test_a_budget_changes_no_rank(metric, adjusted):
    """Duplicates, ties and queries without a match are among the images."""
    query, gallery = (random_set(n, seed=n, dimensions=37, identities=60, dtype=torch.float32) for n in (70, 2100))
    gallery.features[5:900] = gallery.features[1200:2095]
    gallery.features[40:80] = query.features[0]
    adjust = (lambda number: Adjustment(0.5 + number, np.linspace(-1, 1, 2100))) if adjusted else None
    large = rank_matches(query, gallery, metric=metric, memory_gb=1.0, adjust=adjust)
    for budget in [0.0012, 0.0014] if adjusted else [least(70, 2100, 37), 0.0007]:
        small = rank_matches(query, gallery, metric=metric, memory_gb=budget, adjust=adjust)
        assert [r.tolist() for r in small] == [r.tolist() for r in large]


def test_a_large_gallery_comes_in_parts(monkeypatch):
    """A small budget leaves the queries together, so that the gallery is gone through once."""
    query, gallery = random_set(40, seed=1), random_set(50, seed=2)
    monkeypatch.setattr(rank_blocks, "_CHUNK", 10)
    seen = []
    fill = rank_blocks._fill
    monkeypatch.setattr(rank_blocks, "_fill", lambda block, *rest: seen.append(block.shape) or fill(block, *rest))
    budget = 12 * 6 * (40 + 10) + 4 * 40 * 25
    rank_matches(query, gallery, memory_gb=budget / 1e9)
    assert seen[-3:] == [(40, 20), (40, 20), (40, 10)]
    assert max(rows * columns for rows, columns in seen) == 800


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("images", "dimensions"), [(9, 2048), (301, 37)])
def test_rounding_does_not_tell_equal_features_apart(metric, images, dimensions):
    """A model that returns the same for everybody gets the worst ranks, not those that rounding deals out."""
    features = torch.randn(1, dimensions).expand(images, -1)
    people, one = torch.arange(images), torch.ones(images, dtype=torch.int64)
    ranks = rank_matches(FeatureSet(features, people, one), FeatureSet(features, people, 2 * one), metric=metric)
    assert [rank.tolist() for rank in ranks] == [[images]] * images


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"TEST\.MEMORY_GB \(memory_gb\) must be > 0, got 0"):
        rank_matches(random_set(1), random_set(1), memory_gb=0)
    with pytest.raises(ValueError, match=r"is 1e-07, but ranking 5 queries at a time takes 1\.28e-06 GB at least"):
        rank_matches(random_set(5), random_set(10), memory_gb=1e-7)
    assert len(rank_matches(random_set(5), random_set(10), memory_gb=1.28e-6)) == 5
    with pytest.raises(ValueError, match="query features have 6 dimensions and gallery features 5"):
        rank_matches(random_set(1), random_set(1, dimensions=5))
    with pytest.raises(KeyError, match=r"TEST\.METRIC: no 'cosin'\. Did you mean 'cosine'"):
        rank_matches(random_set(1), random_set(1), metric="cosin")


@pytest.mark.parametrize("memory_gb", [least(1, 33), 1.0])
@pytest.mark.parametrize("metric", sorted(METRIC_REGISTRY))
def test_adjusted_similarities_are_ranked(metric, memory_gb):
    query, gallery = random_set(11, seed=1), random_set(33, seed=2)
    summands = np.random.default_rng(0).normal(size=(11, 33)) * 9

    def adjust(number):
        return Adjustment(0.1 * number, summands[number])

    ranks = rank_matches(query, gallery, metric=metric, memory_gb=memory_gb, adjust=adjust)
    for q in range(11):
        similarity = np.array([similarity_as_loops(query.features[q], row, metric) for row in gallery.features])
        halves = 1 if metric == "cosine" else 0.5  # the Euclidean similarity is -d^2 / 2
        same = (gallery.pids == query.pids[q]).numpy()
        junk = same & (gallery.camids == query.camids[q]).numpy()
        expected = match_ranks(0.1 * q * halves * similarity + summands[q], same & ~junk, junk)
        assert ranks[q].tolist() == expected.tolist()


def test_adjusted_ties_count_against_the_match():
    query, gallery = random_set(1, seed=1, identities=1), random_set(5, seed=2, identities=1)
    gallery.camids[:], query.camids[:] = 1, 0
    gallery.pids[:4] = 9
    gallery.features[:4] = gallery.features[4]
    summands = np.array([0.3, 0.3, 0.3 + 1e-17, 0.2, 0.3])
    assert [r.tolist() for r in rank_matches(query, gallery, adjust=lambda number: Adjustment(2.0, summands))] == [[4]]


def test_an_adjustment_that_is_not_finite_names_the_query():
    query, gallery = random_set(3, seed=1), random_set(5, seed=2)
    with pytest.raises(ValueError, match="the similarity of query 1 to the gallery has 5 of 5"):
        rank_matches(query, gallery, adjust=lambda number: Adjustment(1.0 if number != 1 else np.nan, np.zeros(5)))


def test_the_origin_of_equal_features_is_theirs():
    features = torch.randn(1, 37).expand(301, -1)
    assert torch.equal(origin_of(features), features[0])
