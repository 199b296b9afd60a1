from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from fastreid.modeling.losses import FocalLoss, focal_loss


def batch(n=7, c=4):
    return torch.randn(n, c, dtype=torch.float64) * 2, torch.randint(c, (n,))


def by_definition(logits, targets, alpha, gamma):
    losses = []
    for row, target in zip(logits.tolist(), targets.tolist()):
        p = math.exp(row[target]) / sum(math.exp(z) for z in row)
        losses.append(-alpha * (1 - p) ** gamma * math.log(p))
    return losses


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (1.0, 0.5), (0.5, 5)])
def test_equals_its_definition(alpha, gamma):
    logits, targets = batch()
    losses = by_definition(logits, targets, alpha, gamma)
    assert focal_loss(logits, targets, alpha, gamma).item() == pytest.approx(sum(losses) / 7, rel=1e-12)
    assert focal_loss(logits, targets, alpha, gamma, "sum").item() == pytest.approx(sum(losses), rel=1e-12)
    assert focal_loss(logits, targets, alpha, gamma, "none").tolist() == pytest.approx(losses, rel=1e-12)


def test_without_focus_it_is_the_cross_entropy():
    logits, targets = batch()
    torch.testing.assert_close(focal_loss(logits, targets, 0.5, 0), 0.5 * F.cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
def test_gradients_are_right(gamma):
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: focal_loss(z, targets, 0.25, gamma), (logits.requires_grad_(),))


def test_a_hopeless_image_has_a_finite_loss():
    logits = torch.tensor([[0.0, 200.0]], requires_grad=True)  # exp(-200) is 0 in float32
    loss = focal_loss(logits, torch.tensor([0]), 0.25)
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 200)
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.25]]))


@pytest.mark.parametrize("gamma", [0, 0.01, 0.5, 1, 2])
def test_a_certain_image_has_no_loss_and_finite_gradients(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), 0.25, gamma)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.isfinite().all()


def test_an_image_without_class_does_not_count():
    logits, targets = batch()
    expected = focal_loss(logits[:3], targets[:3], 0.25)
    targets[3:] = -1
    torch.testing.assert_close(focal_loss(logits, targets, 0.25), expected)
    assert focal_loss(logits, torch.full((7,), -1), 0.25).item() == 0.0


def test_half_precision_is_computed_in_float32():
    logits, targets = batch()
    loss = focal_loss(logits.half(), targets, 0.25)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, focal_loss(logits.half().float(), targets, 0.25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0,), r"FL\.ALPHA and GAMMA must be >= 0, got -1.0 and 2.0"),
        ((0.25, -0.5), "got 0.25 and -0.5"),
        ((0.25, 2.0, "average"), "reduction must be mean, sum or none, got 'average'"),
    ],
)
def test_bad_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        focal_loss(*batch(), *arguments)


def test_the_class_scales_and_names_it(cfg):
    cfg.MODEL.LOSSES.FL.merge_from_list(["ALPHA", 0.5, "GAMMA", 1.5, "SCALE", 3.0])
    logits, targets = batch()
    out = FocalLoss(cfg)({"cls_outputs": logits}, targets)
    assert set(out) == {"loss_focal"}
    torch.testing.assert_close(out["loss_focal"], focal_loss(logits, targets, 0.5, 1.5) * 3)
