from __future__ import annotations

import math

import pytest
import torch

from fastreid.modeling.losses import TripletLoss, triplet_loss


def batch(n=12, d=6, images=3):
    return torch.randn(n, d, dtype=torch.float64), torch.arange(n) // images


def distance(a, b, norm_feat):
    if norm_feat:
        return 2 - 2 * (a @ b / (a.norm() * b.norm())).item()
    return max((a - b).square().sum().item(), 1e-12) ** 0.5


def weighted_mean(values, sign):
    weights = [math.exp(sign * (v - (max(values) if sign > 0 else min(values)))) for v in values]
    return sum(w * v for w, v in zip(weights, values)) / sum(weights)


def by_definition(x, y, margin, norm_feat, hard):
    terms = []
    for a in range(len(x)):
        dist = [distance(x[a], b, norm_feat) for b in x]
        positives = [d for d, label in zip(dist, y) if label == y[a]]  # the anchor itself is one
        negatives = [d for d, label in zip(dist, y) if label != y[a]]
        if not negatives:
            terms.append(0.0)
            continue
        p = max(positives) if hard else weighted_mean(positives, 1)
        n = min(negatives) if hard else weighted_mean(negatives, -1)
        terms.append(max(0.0, margin + p - n) if margin > 0 else math.log1p(math.exp(p - n)))
    return sum(terms) / len(terms)


ALL_FORMS = [
    (margin, norm_feat, hard) for margin in (0.0, 0.3) for norm_feat in (False, True) for hard in (False, True)
]


@pytest.mark.parametrize(("margin", "norm_feat", "hard"), ALL_FORMS)
def test_equals_its_definition(margin, norm_feat, hard):
    x, y = batch()
    expected = by_definition(x, y, margin, norm_feat, hard)
    assert triplet_loss(x, y, margin, norm_feat, hard).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("margin", "norm_feat", "hard"), ALL_FORMS)
def test_equals_its_definition_for_identities_of_unequal_size(margin, norm_feat, hard):
    x, _ = batch(n=7)
    y = torch.tensor([0, 0, 0, 1, 1, 2, 3])  # the last two have one image each
    expected = by_definition(x, y, margin, norm_feat, hard)
    assert triplet_loss(x, y, margin, norm_feat, hard).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("margin", "norm_feat", "hard"), ALL_FORMS)
def test_gradients_are_right(margin, norm_feat, hard):
    x, y = batch(n=6, images=2)
    assert torch.autograd.gradcheck(
        lambda z: triplet_loss(z, y, margin, norm_feat, hard), (x.requires_grad_(),), atol=1e-4
    )


@pytest.mark.parametrize(("margin", "norm_feat", "hard"), ALL_FORMS)
class TestEdges:
    def test_one_identity_has_no_loss(self, margin, norm_feat, hard):
        x = torch.randn(5, 4, requires_grad=True)
        loss = triplet_loss(x, torch.zeros(5, dtype=torch.int64), margin, norm_feat, hard)
        loss.backward()
        assert loss.item() == 0.0
        assert x.grad.eq(0).all()

    def test_one_image_per_identity_pushes_only(self, margin, norm_feat, hard):
        x = (torch.randn(5, 4, dtype=torch.float64) * 0.1 + 1).requires_grad_()
        y = torch.arange(5)
        loss = triplet_loss(x, y, margin, norm_feat, hard)
        loss.backward()
        assert loss.item() == pytest.approx(by_definition(x.detach(), y, margin, norm_feat, hard), rel=1e-5)
        assert x.grad.isfinite().all()

    def test_one_image_has_no_loss(self, margin, norm_feat, hard):
        loss = triplet_loss(torch.randn(1, 4), torch.tensor([3]), margin, norm_feat, hard)
        assert loss.item() == 0.0

    def test_equal_embeddings_have_a_loss_and_finite_gradients(self, margin, norm_feat, hard):
        x = torch.ones(6, 4, requires_grad=True)
        loss = triplet_loss(x, torch.arange(6) // 2, margin, norm_feat, hard)
        loss.backward()
        assert loss.item() == pytest.approx(margin or math.log(2), rel=1e-5)
        assert x.grad.isfinite().all()

    def test_all_zero_embeddings_have_finite_gradients(self, margin, norm_feat, hard):
        x = torch.zeros(6, 4, requires_grad=True)
        triplet_loss(x, torch.arange(6) // 2, margin, norm_feat, hard).backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 20.0, 300.0])
def test_weighted_means_hold_at_any_distance(scale):
    x, y = batch(n=8, images=2)
    x = x * scale
    expected = by_definition(x, y, 0.3, False, False)
    assert expected > 0
    assert triplet_loss(x, y, 0.3, False, False).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("hard", [False, True])
def test_the_soft_margin_does_not_overflow(hard):
    x = torch.tensor([[0.0], [1e4], [1.0], [2.0]], requires_grad=True)
    loss = triplet_loss(x, torch.tensor([0, 0, 1, 1]), 0.0, False, hard)
    loss.backward()
    assert loss.isfinite()
    assert loss.item() > 1000
    assert x.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    x, y = batch()
    x = (x * 60).half()
    loss = triplet_loss(x, y, 0.3, False, True)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, triplet_loss(x.float(), y, 0.3, False, True))


def test_a_negative_margin_is_rejected():
    with pytest.raises(ValueError, match="MARGIN must be >= 0, got -1"):
        triplet_loss(*batch(), -1, False, True)


@pytest.mark.parametrize(("x", "y"), [((4, 2, 1), (4,)), ((4, 2), (3,)), ((0, 2), (0,))])
def test_shapes_that_do_not_fit_are_rejected(x, y):
    with pytest.raises(ValueError, match="needs embeddings"):
        triplet_loss(torch.zeros(x), torch.zeros(y, dtype=torch.int64), 0.3, False, True)


def test_the_class_scales_and_names_it(cfg):
    cfg.MODEL.LOSSES.TRI.merge_from_list(["MARGIN", 0.5, "HARD_MINING", True, "NORM_FEAT", True, "SCALE", 2.0])
    x, y = batch()
    out = TripletLoss(cfg)({"features": x}, y)
    assert set(out) == {"loss_triplet"}
    torch.testing.assert_close(out["loss_triplet"], triplet_loss(x, y, 0.5, True, True) * 2)
