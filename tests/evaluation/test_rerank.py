"""Re-ranking against its definition, written as loops over images, sets and pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastreid.evaluation.distances import build_dist
from fastreid.evaluation.jaccard import compute_jaccard_distance
from fastreid.evaluation.k_reciprocal import half_of, k_reciprocal_neigh, reciprocal_sets
from fastreid.evaluation.knn import knn
from fastreid.evaluation.rerank import KReciprocal, re_ranking


def jaccard_by_definition(distances, first, half, k2):
    """Jaccard distances ``(N, N)`` of ``distances`` ``(N, N)``; ``first`` neighbours may be mutual."""
    count = len(distances)
    near = [sorted(range(count), key=lambda j: (distances[i][j], j)) for i in range(count)]

    def mutual(i, k):
        return [j for j in near[i][:k] if i in near[j][:k]]

    encoded = []
    for i in range(count):
        own = mutual(i, first)
        expanded = set(own)
        for candidate in own:
            theirs = mutual(candidate, half)
            if 3 * len(set(theirs) & set(own)) > 2 * len(theirs):
                expanded |= set(theirs)
        total = sum(math.exp(-distances[i][j]) for j in expanded)
        encoded.append([math.exp(-distances[i][j]) / total if j in expanded else 0.0 for j in range(count)])
    if k2 > 1:
        nearest = [near[i][:k2] for i in range(count)]
        encoded = [[sum(encoded[n][j] for n in some) / len(some) for j in range(count)] for some in nearest]
    result = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            shared = sum(min(a, b) for a, b in zip(encoded[i], encoded[j]))
            result[i, j] = 1 - shared / (2 - shared)
    return result


def rerank_by_definition(features, queries, metric, k1, k2, weight):
    x = features.double()
    if metric == "cosine":
        x = x / x.norm(dim=1, keepdim=True)
    squared = np.array([[float((a - b).square().sum()) for b in x] for a in x]).round(12)
    normalised = np.array([row / max(row.max(), 1e-300) for row in squared])
    jaccard = jaccard_by_definition(normalised.round(12), k1 + 1, round(k1 / 2) + 1, k2)
    return ((1 - weight) * jaccard + weight * normalised)[:queries, queries:]


def images(count=30, groups=6, seed=0, dimensions=5):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, dimensions, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, dimensions, generator=generator, dtype=torch.float64)
    return centres[torch.arange(count) % groups] + 0.4 * noise


def final_distances(features, queries, metric, k1, k2, weight):
    """What ``KReciprocal`` makes of the similarities."""
    found = knn(features, features, max(k1 + 1, k2), metric=metric)
    rule = KReciprocal(features, queries, found, metric=metric, k1=k1, k2=k2, lambda_value=weight)
    everything = knn(features[:queries], features, len(features), metric=metric)
    similarity = torch.empty(queries, len(features), dtype=features.dtype)
    similarity.scatter_(1, everything.places, everything.similarity)
    result = []
    own = similarity.diagonal().double().numpy()
    for query, row in enumerate(similarity[:, queries:].double().numpy()):
        factor, summands, shift = rule(query)
        result.append(-((row - own[query]) * factor + summands + shift))
    return np.array(result)


SETTINGS = [(4, 3, 0.3), (5, 1, 0.0), (7, 9, 1.0), (1, 2, 0.5), (50, 40, 0.3)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "weight"), SETTINGS)
def test_features_and_matrices_are_reranked_as_defined(metric, k1, k2, weight):
    features = images()
    expected = rerank_by_definition(features, 8, metric, k1, k2, weight)
    np.testing.assert_allclose(final_distances(features, 8, metric, k1, k2, weight), expected, atol=1e-9)
    x = features / features.norm(dim=1, keepdim=True) if metric == "cosine" else features
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    dense = re_ranking(distances[:8, 8:], distances[:8, :8], distances[8:, 8:], k1, k2, weight)
    np.testing.assert_allclose(dense, expected, atol=1e-9)


@pytest.mark.parametrize("repeats", [2, 9])
def test_duplicates_and_ties(repeats):
    """Whole numbers have exact distances, so that ties are ties; ``repeats`` of an image are more than k1."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randint(-3, 4, (6, 4), generator=generator).double().repeat(repeats, 1)
    expected = rerank_by_definition(features, 5, "euclidean", 5, 3, 0.3)
    np.testing.assert_allclose(final_distances(features, 5, "euclidean", 5, 3, 0.3), expected, atol=1e-9)


def test_images_that_are_all_the_same_are_all_at_distance_0_but_for_their_sets():
    features = torch.ones(12, 3, dtype=torch.float64)
    expected = rerank_by_definition(features, 4, "euclidean", 4, 2, 0.3)
    np.testing.assert_allclose(final_distances(features, 4, "euclidean", 4, 2, 0.3), expected, atol=1e-12)
    zeros = np.zeros((4, 8)), np.zeros((4, 4)), np.zeros((8, 8))
    np.testing.assert_allclose(re_ranking(*zeros, 4, 2, 0.3), expected, atol=1e-12)


@pytest.mark.parametrize(("queries", "gallery"), [(1, 1), (3, 1), (1, 3)])
def test_tiny_sets(queries, gallery):
    features = images(queries + gallery)
    expected = rerank_by_definition(features, queries, "cosine", 20, 6, 0.3)
    np.testing.assert_allclose(final_distances(features, queries, "cosine", 20, 6, 0.3), expected, atol=1e-9)


def test_no_gallery_and_no_query():
    for q, g in ((0, 3), (3, 0)):
        assert re_ranking(np.ones((q, g)), np.ones((q, q)), np.ones((g, g))).shape == (q, g)


def test_float32_features_are_near_the_definition():
    features = images(60)
    expected = rerank_by_definition(features, 9, "cosine", 6, 3, 0.3)
    np.testing.assert_allclose(final_distances(features.float(), 9, "cosine", 6, 3, 0.3), expected, atol=1e-5)


def test_the_callers_matrices_stay_as_they_are():
    d = torch.cdist(images(), images()).numpy()
    parts = d[:8, 8:].copy(), d[:8, :8].copy(), d[8:, 8:].copy()
    re_ranking(*parts)
    for part, before in zip(parts, (d[:8, 8:], d[:8, :8], d[8:, 8:]), strict=True):
        assert np.array_equal(part, before)


@pytest.mark.parametrize(("k1", "k2"), [(6, 3), (5, 1), (40, 50)])
def test_jaccard_distance_counts_the_image_among_its_neighbours(k1, k2):
    features = images()
    squared = np.array([[float((a - b).square().sum()) for b in features] for a in features]).round(12)
    expected = jaccard_by_definition(squared, k1, round(k1 / 2) + 1, k2)
    found = compute_jaccard_distance(features, k1, k2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    half = compute_jaccard_distance(features, k1, k2, search_option=3, fp16=True)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, expected, atol=1e-3)
    between = build_dist(features[:4], features[4:], "jaccard", k1=k1, k2=k2)
    np.testing.assert_allclose(between, expected[:4, 4:], atol=1e-6)


def test_jaccard_distance_far_from_the_origin_of_the_exponential():
    features = 100 * images()  # exp(-d^2) is 0 in any precision, but for the image itself
    found = compute_jaccard_distance(features)
    assert np.isfinite(found).all()
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-6)


def test_distances_are_squared_or_one_minus_cosine():
    a, b = images(4), images(3, seed=1)
    squared = [[float((x - y).square().sum()) for y in b] for x in a]
    cosine = [[1 - float(x @ y / (x.norm() * y.norm())) for y in b] for x in a]
    np.testing.assert_allclose(build_dist(a, b), squared, rtol=1e-9)
    np.testing.assert_allclose(build_dist(a, b, "cosine"), cosine, rtol=1e-9)
    with pytest.raises(ValueError, match="metric must be euclidean, cosine or jaccard, got 'l1'"):
        build_dist(a, b, "l1")


def test_sets_are_those_of_the_paper_rule():
    order = np.array([[0, 1, 2], [1, 0, 2], [2, 3, 0], [3, 2, 1]])
    assert k_reciprocal_neigh(order, 0, 3).tolist() == [0, 1, 2]
    assert k_reciprocal_neigh(order, 1, 3).tolist() == [1, 0]
    assert reciprocal_sets(order, 1).toarray()[1].tolist() == [1, 1, 0, 0]
    # R(1) = {1, 0}; H(0) = {0, 1} lies in it, so nothing new comes; R(2) = {2, 3, 0}, H(3) = {3, 2}
    assert reciprocal_sets(order, 2).toarray().tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1]]
    assert [half_of(k) for k in (1, 4, 5, 7, 20)] == [1, 3, 3, 5, 11]


def test_bad_arguments():
    square = np.ones((2, 2))
    with pytest.raises(ValueError, match="k1 and k2 must be at least 1, got 0 and 6"):
        re_ranking(square, square, square, 0)
    with pytest.raises(ValueError, match=r"lambda_value must be in \[0, 1\], got 2"):
        re_ranking(square, square, square, lambda_value=2)
    with pytest.raises(ValueError, match="must be square, got"):
        re_ranking(square, np.ones((3, 3)), square)
    with pytest.raises(ValueError, match="k1 and k2 must be at least 1, got 1 and 0"):
        compute_jaccard_distance(images(), 1, 0)
    features = images()
    with pytest.raises(ValueError, match=r"neighbours must be \(30, 21\) or wider, got \(30, 5\)"):
        KReciprocal(features, 4, knn(features, features, 5))
