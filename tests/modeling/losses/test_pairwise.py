"""Circle loss and CosFace over pairs: the same sum over pairs with different logits."""

from __future__ import annotations

import math

import pytest
import torch

from fastreid.modeling.losses import CircleLoss, Cosface, pairwise_circleloss, pairwise_cosface
from fastreid.modeling.losses.build import loss_arguments, losses_from_arguments

MARGIN = 0.25


def circle_logits(s, margin, gamma):
    return -gamma * max(0, 1 + margin - s) * (s - (1 - margin)), gamma * max(0, s + margin) * (s - margin)


def cosface_logits(s, margin, gamma):
    return -gamma * s, gamma * (s + margin)


LOSSES = {pairwise_circleloss: circle_logits, pairwise_cosface: cosface_logits}
EACH_LOSS = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def batch(n=12, d=6, images=3):
    return torch.randn(n, d, dtype=torch.float64), torch.arange(n) // images


def log_sum_exp(values):
    return max(values) + math.log(sum(math.exp(v - max(values)) for v in values))


def by_definition(loss, x, y, margin, gamma):
    terms = []
    for a in range(len(x)):
        positives, negatives = [], []
        for b in range(len(x)):
            cos = (x[a] @ x[b] / (x[a].norm() * x[b].norm())).item()
            positive, negative = LOSSES[loss](cos, margin, gamma)
            if b != a and y[a] == y[b]:
                positives.append(positive)
            if y[a] != y[b]:
                negatives.append(negative)
        if positives and negatives:
            total = log_sum_exp(positives) + log_sum_exp(negatives)
            terms.append(max(total, 0) + math.log1p(math.exp(-abs(total))))
        else:
            terms.append(0.0)
    return sum(terms) / len(terms)


@EACH_LOSS
@pytest.mark.parametrize(("margin", "gamma"), [(0.25, 128), (0.4, 16), (0.0, 1)])
def test_equals_its_definition(loss, margin, gamma):
    x, y = batch()
    assert loss(x, y, margin, gamma).item() == pytest.approx(by_definition(loss, x, y, margin, gamma), rel=1e-9)


@EACH_LOSS
def test_an_image_alone_in_its_identity_adds_nothing(loss):
    x, _ = batch(n=7)
    y = torch.tensor([0, 0, 0, 1, 1, 2, 3])
    assert loss(x, y, MARGIN, 16).item() == pytest.approx(by_definition(loss, x, y, MARGIN, 16), rel=1e-9)
    x.requires_grad_()
    pairs = loss(x, y, MARGIN, 16)
    pairs.backward()
    assert x.grad.isfinite().all()
    assert x.grad[5:].abs().sum() > 0  # as a negative of the others it is pushed all the same


def test_gradients_are_right():
    x, y = batch(n=6, images=2)
    assert torch.autograd.gradcheck(lambda z: pairwise_cosface(z, y, MARGIN, 8), (x.requires_grad_(),))


def test_circle_weights_carry_no_gradient():
    x, y = batch(n=6, images=2)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    pairwise_circleloss(ours, y, MARGIN, 8).backward()
    unit = theirs / theirs.norm(dim=1, keepdim=True)
    cos = unit @ unit.t()
    weights_p, weights_n = (1 + MARGIN - cos.detach()).clamp(min=0), (cos.detach() + MARGIN).clamp(min=0)
    terms = []
    for a in range(6):
        p = [b for b in range(6) if b != a and y[b] == y[a]]
        n = [b for b in range(6) if y[b] != y[a]]
        pull = torch.exp(-8 * weights_p[a, p] * (cos[a, p] - (1 - MARGIN))).sum()
        push = torch.exp(8 * weights_n[a, n] * (cos[a, n] - MARGIN)).sum()
        terms.append(torch.log1p(pull * push))
    torch.stack(terms).mean().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@EACH_LOSS
@pytest.mark.parametrize("targets", [(0, 0, 0, 0), (0, 1, 2, 3), (5,)])
def test_without_positives_or_negatives_there_is_no_loss(loss, targets):
    x = torch.randn(len(targets), 4, requires_grad=True)
    value = loss(x, torch.tensor(targets), MARGIN, 128)
    value.backward()
    assert value.item() == 0.0
    assert x.grad.eq(0).all()


@EACH_LOSS
@pytest.mark.parametrize("x", [torch.ones(6, 4), torch.zeros(6, 4), torch.eye(2).repeat_interleave(3, 0)])
def test_gradients_are_finite_where_vectors_are_equal_opposite_or_zero(loss, x):
    for sign in (1, -1):
        z = torch.cat([x[:3], sign * x[3:]]).requires_grad_()
        value = loss(z, torch.tensor([0, 0, 1, 1, 0, 1]), MARGIN, 128)
        value.backward()
        assert value.isfinite()
        assert z.grad.isfinite().all()


@EACH_LOSS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    x, y = batch()
    x = (x * 60).to(dtype).requires_grad_()
    value = loss(x, y, MARGIN, 128)
    value.backward()
    assert value.dtype == torch.float32
    assert x.grad.isfinite().all()
    torch.testing.assert_close(value, loss(x.detach().float(), y, MARGIN, 128))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(x.detach().float(), y, MARGIN, 128), value.detach())


@EACH_LOSS
def test_bad_arguments_are_rejected(loss):
    with pytest.raises(ValueError, match=r"MODEL\.LOSSES\.(CIRCLE|COSFACE)\.GAMMA must be positive, got 0"):
        loss(*batch(), MARGIN, 0)
    with pytest.raises(ValueError, match=r"needs embeddings.*got \(4, 2\) and \(3,\)"):
        loss(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64), MARGIN, 1)


@pytest.mark.parametrize(
    ("cls", "node", "key", "loss"),
    [
        (CircleLoss, "CIRCLE", "loss_circle", pairwise_circleloss),
        (Cosface, "COSFACE", "loss_cosface", pairwise_cosface),
    ],
)
def test_the_class_scales_and_names_it(cfg, cls, node, key, loss):
    cfg.MODEL.LOSSES[node].merge_from_list(["MARGIN", 0.5, "GAMMA", 32, "SCALE", 2.0])
    x, y = batch()
    out = cls(cfg)({"features": x}, y)
    assert set(out) == {key}
    torch.testing.assert_close(out[key], loss(x, y, 0.5, 32) * 2)


def test_arguments_have_the_form_that_callers_know(cfg):
    cfg.MODEL.LOSSES.NAME = ("CircleLoss", "Cosface")
    arguments = loss_arguments(cfg)
    defaults = {"margin": 0.25, "gamma": 128, "scale": 1.0, "cross_rank": False}
    assert arguments == {"loss_names": ("CircleLoss", "Cosface"), "circle": defaults, "cosface": defaults}
    assert list(losses_from_arguments(arguments)) == ["CircleLoss", "Cosface"]
