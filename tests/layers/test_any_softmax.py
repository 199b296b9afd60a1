from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from fastreid.layers import any_softmax
from fastreid.layers.any_softmax import CLS_LAYER_REGISTRY

SCALE, MARGIN = 16.0, 0.35


def linear(z, is_target):
    return SCALE * z


def cosine(z, is_target):
    return SCALE * (z - MARGIN * is_target)


def arc(z, is_target):
    return SCALE * math.cos(math.acos(z) + MARGIN * is_target)


def circle(z, is_target):
    if is_target:
        return SCALE * max(0, 1 + MARGIN - z) * (z - (1 - MARGIN))
    return SCALE * max(0, z + MARGIN) * (z - MARGIN)


DEFINITIONS = {"Linear": linear, "CosSoftmax": cosine, "ArcSoftmax": arc, "CircleSoftmax": circle}


def cosines(n=4, c=5):
    return torch.rand(n, c, dtype=torch.float64) * 1.8 - 0.9


def build(name):
    return CLS_LAYER_REGISTRY.get(name)(5, SCALE, MARGIN)


def test_every_margin_is_covered_here():
    assert set(CLS_LAYER_REGISTRY) == set(DEFINITIONS)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("targets", [(0, 4, 2, 2), (1, -1, 3, -1), (-1, -1, -1, -1)])
def test_margin_equals_its_definition(name, targets):
    logits = cosines()
    expected = [
        [DEFINITIONS[name](z, j == target) for j, z in enumerate(row)] for row, target in zip(logits.tolist(), targets)
    ]
    out = build(name)(logits, torch.tensor(targets))
    torch.testing.assert_close(out, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_logits_are_not_changed(name):
    logits = cosines()
    copy = logits.clone()
    build(name)(logits, torch.tensor([0, 1, -1, 2]))
    assert torch.equal(logits, copy)


@pytest.mark.parametrize("name", ["Linear", "CosSoftmax", "ArcSoftmax"])
def test_gradients_are_right(name):
    targets = torch.tensor([0, 4, -1, 2])
    assert torch.autograd.gradcheck(lambda z: build(name)(z, targets), (cosines().requires_grad_(),))


def test_circle_weights_carry_no_gradient():
    logits, targets = cosines().requires_grad_(), torch.tensor([0, 4, -1, 2])
    build("CircleSoftmax")(logits, targets).sum().backward()
    z = logits.detach()
    expected = SCALE * (z + MARGIN).clamp(min=0)
    for i, target in enumerate(targets.tolist()):
        if target >= 0:
            expected[i, target] = SCALE * (1 + MARGIN - z[i, target]).clamp(min=0)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("extreme", [1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6, 0.0])
def test_gradients_are_finite_at_the_ends(name, extreme):
    logits = torch.full((2, 5), extreme, requires_grad=True)
    out = build(name)(logits, torch.tensor([1, -1]))
    out.sum().backward()
    assert out.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_gradients_are_finite_where_features_are_the_weights(name, dtype, sign):
    layer, targets = build(name), torch.arange(5)
    weight = torch.randn(5, 8).to(dtype).requires_grad_()
    features = (sign * 3 * weight.detach()).requires_grad_()
    out = layer(layer.logits(features, weight), targets)
    F.cross_entropy(out.float(), targets).backward()
    assert out.isfinite().all()
    assert features.grad.isfinite().all()
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_half_precision_logits_become_at_least_as_exact_as_they_are(name):
    logits = cosines().half()
    targets = torch.tensor([0, 4, 2, 2])
    exact = build(name)(logits.double(), targets)
    rtol = 1e-2 if name == "Linear" else 1e-4
    torch.testing.assert_close(build(name)(logits, targets).double(), exact, rtol=rtol, atol=1e-2)


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - {"Linear"}))
def test_logits_are_cosines_in_full_precision_also_under_autocast(name):
    features, weight = torch.randn(4, 32) * 20, torch.randn(5, 32) * 0.01
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = build(name).logits(features, weight)
    expected = torch.stack([F.cosine_similarity(features, w[None]) for w in weight], dim=1)
    torch.testing.assert_close(logits, expected)


def test_linear_logits_are_plain_products():
    features, weight = torch.randn(4, 32), torch.randn(5, 32)
    torch.testing.assert_close(build("Linear").logits(features, weight), features @ weight.t())


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_attributes_of_older_callers(name):
    layer = CLS_LAYER_REGISTRY.get(name)(num_classes=7, scale=3, margin=0.5)
    assert (layer.num_classes, layer.s, layer.m) == (7, 3, 0.5)
    assert not layer.state_dict()
    assert getattr(any_softmax, name) is type(layer)


def test_a_scale_that_is_not_positive_is_rejected():
    with pytest.raises(ValueError, match="SCALE must be positive, got 0"):
        any_softmax.Linear(3, 0, 0.0)
