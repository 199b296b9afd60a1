from __future__ import annotations

import pytest
import torch

from fastreid.evaluation.query_expansion import aqe, dba, expand


def definition(features, times, k, alpha):
    for _ in range(times):
        unit = features / features.norm(dim=1, keepdim=True)
        new = []
        for i in range(len(features)):
            cosines = [float(unit[i] @ other) for other in unit]
            nearest = sorted(range(len(features)), key=lambda j: (-round(cosines[j], 12), j))[:k]
            new.append(sum(features[j] * cosines[j] ** alpha for j in nearest) / len(nearest))
        features = torch.stack(new)
    return features


def images(count, seed=0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 1


@pytest.mark.parametrize(("times", "k", "alpha"), [(1, 10, 3.0), (2, 4, 3.0), (1, 1, 0.0), (3, 3, 1.0)])
def test_aqe_is_the_weighted_mean_over_queries_and_gallery(times, k, alpha):
    features = images(25)
    query, gallery = aqe(features[:6], features[6:], times, k, alpha)
    torch.testing.assert_close(torch.cat([query, gallery]), definition(features, times, k, alpha))
    assert len(query) == 6


def test_dba_leaves_queries_out():
    gallery = images(25)
    torch.testing.assert_close(dba(gallery, 2, 4, 2.5), definition(gallery, 2, 4, 2.5))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_more_neighbours_than_images_are_all_images(count):
    features = images(count).abs()
    torch.testing.assert_close(dba(features, k=10), definition(features, 1, 10, 3.0))


def test_duplicates_stay_duplicates():
    features = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [-2.0, 1.0]], dtype=torch.float64)
    found = dba(features, k=2)
    torch.testing.assert_close(found[:3], features[:3])


def test_a_negative_cosine_to_a_broken_power_counts_as_0():
    features = torch.tensor([[2.0, 0.0], [-1.0, 0.0]])
    assert dba(features, k=2, alpha=1.5).tolist() == [[1.0, 0.0], [-0.5, 0.0]]
    assert dba(features, k=2, alpha=3.0).tolist() == [[1.5, 0.0], [-1.5, 0.0]]


def test_arguments_stay_as_they_are_and_nothing_is_nothing():
    features = images(8).float()
    before = features.clone()
    aqe(features[:3], features[3:])
    assert torch.equal(features, before)
    assert aqe(features[:0], features[:0])[1].shape == (0, 5)
    assert dba(features.half()).dtype == torch.float32


def test_bad_arguments():
    for bad in ({"times": 0, "k": 1, "alpha": 1}, {"times": 1, "k": 0, "alpha": 1}, {"times": 1, "k": 1, "alpha": -1}):
        with pytest.raises(ValueError, match="times and k must be at least 1 and alpha at least 0, got"):
            expand(images(3), **bad)
