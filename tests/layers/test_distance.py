from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fastreid.layers.distance import cosine_dist, cosine_similarity, euclidean_dist, squared_euclidean_dist


def pairs(n=5, m=4, d=3):
    return torch.randn(n, d, dtype=torch.float64), torch.randn(m, d, dtype=torch.float64)


def over_pairs(x, y, distance):
    return torch.tensor([[distance(a, b) for b in y] for a in x], dtype=torch.float64)


def test_squared_euclidean_equals_its_definition():
    x, y = pairs()
    expected = over_pairs(x, y, lambda a, b: sum((p - q).item() ** 2 for p, q in zip(a, b)))
    torch.testing.assert_close(squared_euclidean_dist(x, y), expected)


def test_euclidean_equals_its_definition():
    x, y = pairs()
    expected = over_pairs(x, y, lambda a, b: sum((p - q).item() ** 2 for p, q in zip(a, b)) ** 0.5)
    torch.testing.assert_close(euclidean_dist(x, y), expected)


def test_cosine_equals_its_definition():
    x, y = pairs()
    expected = over_pairs(x, y, lambda a, b: 1 - (a @ b / (a.norm() * b.norm())).item())
    torch.testing.assert_close(cosine_dist(x, y), expected)
    torch.testing.assert_close(cosine_similarity(x, y), 1 - expected)


def test_cosine_with_zeros_is_zero():
    assert cosine_similarity(torch.zeros(1, 3), torch.ones(2, 3)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("distance", [squared_euclidean_dist, euclidean_dist, cosine_dist, cosine_similarity])
def test_gradients_are_right(distance):
    x, y = (t.requires_grad_() for t in pairs())
    assert torch.autograd.gradcheck(distance, (x, y))


@pytest.mark.parametrize("distance", [squared_euclidean_dist, euclidean_dist, cosine_dist])
def test_gradients_are_finite_for_equal_vectors_and_zeros(distance):
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    distance(x, x).sum().backward()
    assert x.grad.isfinite().all()


def test_a_vector_is_next_to_nothing_away_from_itself():
    x = torch.randn(6, 2048) + 300  # far from the origin, as features behind a ReLU are
    dist = euclidean_dist(x, x)
    assert dist.diagonal().max() < 1e-3 * dist.max()


def test_small_distances_far_from_the_origin_are_exact():
    x = torch.randn(6, 64, dtype=torch.float64) * 0.01 + 50
    exact = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    off = ~torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(euclidean_dist(x.float(), x.float())[off].double(), exact[off], rtol=1e-3, atol=0)


def test_squared_distances_are_never_negative():
    x = torch.randn(20, 512).repeat(2, 1) * 100
    assert squared_euclidean_dist(x, x).min() >= 0


@pytest.mark.parametrize("distance", [squared_euclidean_dist, euclidean_dist, cosine_dist])
def test_half_precision_is_computed_in_float32(distance):
    x = (torch.randn(4, 64) * 200).half()  # squared norms are far above 65504
    dist = distance(x, x)
    assert dist.dtype == torch.float32
    assert dist.isfinite().all()
    torch.testing.assert_close(dist, distance(x.float(), x.float()))


@pytest.mark.parametrize("distance", [squared_euclidean_dist, euclidean_dist, cosine_dist])
def test_autocast_changes_nothing(distance):
    x, y = torch.randn(4, 64), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        dist = distance(x, y)
    assert torch.equal(dist, distance(x, y))


def test_shapes_are_right_on_the_meta_device():
    x, y = torch.empty(3, 8, device="meta"), torch.empty(5, 8, device="meta")
    assert squared_euclidean_dist(x, y).shape == cosine_dist(x, y).shape == (3, 5)


def test_arguments_are_not_changed():
    x, y = pairs()
    copies = x.clone(), y.clone()
    euclidean_dist(x, y)
    cosine_dist(x, y)
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])


def test_cosine_distance_is_half_the_squared_distance_of_unit_vectors():
    x, y = pairs()
    torch.testing.assert_close(cosine_dist(x, y), squared_euclidean_dist(F.normalize(x), F.normalize(y)) / 2)
