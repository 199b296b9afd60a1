from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from fastreid.modeling.losses import CrossEntropyLoss, cross_entropy_loss


def batch(n=5, c=4):
    return torch.randn(n, c, dtype=torch.float64) * 2, torch.randint(c, (n,))


def by_definition(logits, targets, eps, alpha):
    losses = []
    for row, target in zip(logits.tolist(), targets.tolist()):
        total = sum(math.exp(z) for z in row)
        probs = [math.exp(z) / total for z in row]
        smoothing = alpha * probs[target] if eps == -1 else eps
        wanted = [1 - smoothing if j == target else smoothing / (len(row) - 1) for j in range(len(row))]
        losses.append(-sum(w * math.log(p) for w, p in zip(wanted, probs)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("eps", "alpha"), [(0.0, 0.2), (0.1, 0.2), (1.0, 0.2), (-1, 0.2), (-1, 0.5)])
def test_equals_its_definition(eps, alpha):
    logits, targets = batch()
    assert cross_entropy_loss(logits, targets, eps, alpha).item() == pytest.approx(
        by_definition(logits, targets, eps, alpha), rel=1e-12
    )


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_is_torch_with_the_other_convention_of_smoothing(eps):
    logits, targets = batch(c=4)
    expected = F.cross_entropy(logits, targets, label_smoothing=eps * 4 / 3)
    torch.testing.assert_close(cross_entropy_loss(logits, targets, eps), expected)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_gradients_are_right(eps):
    logits, targets = batch()
    assert torch.autograd.gradcheck(lambda z: cross_entropy_loss(z, targets, eps), (logits.requires_grad_(),))


def test_adaptive_smoothing_carries_no_gradient():
    logits, targets = batch()
    adaptive, fixed = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    cross_entropy_loss(adaptive, targets, -1, 0.3).backward()
    smoothing = 0.3 * logits.softmax(dim=1).gather(1, targets[:, None])
    wanted = (smoothing / 3).repeat(1, 4).scatter(1, targets[:, None], 1 - smoothing)
    F.cross_entropy(fixed, wanted).backward()
    torch.testing.assert_close(adaptive.grad, fixed.grad)


def test_the_mean_is_over_images_that_still_lose_something():
    logits = torch.tensor([[1000.0, 0.0], [0.0, 1.0]])  # the first is certain and right: its loss is exactly 0
    loss = cross_entropy_loss(logits, torch.tensor([0, 0]), 0.0)
    assert loss.item() == pytest.approx(math.log(1 + math.e))
    assert cross_entropy_loss(logits[:1], torch.tensor([0]), 0.0).item() == 0.0


@pytest.mark.parametrize("eps", [0.0, 0.1, -1])
def test_an_image_without_class_loses_nothing(eps):
    logits, targets = batch()
    expected = cross_entropy_loss(logits[:3], targets[:3], eps)
    targets[3:] = -1
    logits.requires_grad_()
    loss = cross_entropy_loss(logits, targets, eps)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert logits.grad[3:].eq(0).all()
    assert cross_entropy_loss(logits, torch.full((5,), -1), eps).item() == 0.0


@pytest.mark.parametrize("eps", [0.0, 0.1, -1])
def test_one_class_has_nothing_to_learn(eps):
    assert cross_entropy_loss(torch.randn(3, 1), torch.zeros(3, dtype=torch.int64), eps).item() == 0.0


def test_an_impossible_other_class_is_no_nan():
    logits = torch.tensor([[0.0, 1.0, -torch.inf]], requires_grad=True)
    loss = cross_entropy_loss(logits, torch.tensor([0]), 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.e))
    assert logits.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    logits, targets = batch()
    loss = cross_entropy_loss(logits.half(), targets, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy_loss(logits.half().float(), targets, 0.1))


@pytest.mark.parametrize("eps", [-0.5, 1.5])
def test_a_smoothing_that_is_none_is_rejected(eps):
    with pytest.raises(ValueError, match=f"EPSILON must be in .* got {eps}"):
        cross_entropy_loss(*batch(), eps)


def test_the_class_scales_and_names_it(cfg):
    cfg.MODEL.LOSSES.CE.EPSILON = 0.1
    cfg.MODEL.LOSSES.CE.SCALE = 2.5
    logits, targets = batch()
    out = CrossEntropyLoss(cfg)({"cls_outputs": logits}, targets)
    assert set(out) == {"loss_cls"}
    torch.testing.assert_close(out["loss_cls"], cross_entropy_loss(logits, targets, 0.1) * 2.5)
