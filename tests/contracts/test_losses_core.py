"""The losses that a config selects, against definitions written as loops: values and gradients in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity, softplus

from fastreid.layers.any_softmax import CLS_LAYER_REGISTRY
from fastreid.modeling.losses import build_losses

from .helpers import tiny_cfg

PIDS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])  # the last one has no positive but itself


def build(name, **more):
    """Return what the config makes of a loss, as a function of its outputs and the targets."""
    loss = build_losses(tiny_cfg(MODEL__LOSSES__NAME=(name,), **more))[name]

    def call(value, targets):
        (result,) = loss({"features": value, "cls_outputs": value, "pred_class_logits": value}, targets).values()
        return result

    return call


def assert_same(call, definition, value, targets=PIDS):
    """Compare value and gradient."""
    one, other = value.clone().requires_grad_(), value.clone().requires_grad_()
    result, wanted = call(one, targets), definition(other, targets)
    result.backward()
    wanted.backward()
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-6)
    assert float(wanted.detach()) > 0


def pairs(x, y, positive_logit, negative_logit):
    losses = []
    for i in range(len(x)):
        s = [cosine_similarity(x[i], x[j], dim=0) for j in range(len(x))]
        p = [positive_logit(s[j]) for j in range(len(x)) if j != i and y[j] == y[i]]
        n = [negative_logit(s[j]) for j in range(len(x)) if y[j] != y[i]]
        if not p or not n:
            losses.append(x.sum() * 0)
            continue
        losses.append(softplus(torch.stack(p).logsumexp(0) + torch.stack(n).logsumexp(0)))
    return sum(losses) / len(losses)


def test_circle_loss_equals_its_definition():
    margin, gamma = 0.4, 16.0

    def definition(x, y):
        def pull(s):
            return -gamma * (1 + margin - s).clamp(min=0).detach() * (s - (1 - margin))

        def push(s):
            return gamma * (s + margin).clamp(min=0).detach() * (s - margin)

        return pairs(x, y, pull, push)

    call = build("CircleLoss", MODEL__LOSSES__CIRCLE__MARGIN=margin, MODEL__LOSSES__CIRCLE__GAMMA=gamma)
    assert_same(call, definition, torch.randn(9, 6, dtype=torch.float64))


def test_cosface_equals_its_definition():
    margin, gamma = 0.1, 128

    def definition(x, y):
        return pairs(x, y, lambda s: -gamma * s, lambda s: gamma * (s + margin))

    call = build("Cosface", MODEL__LOSSES__COSFACE__MARGIN=margin, MODEL__LOSSES__COSFACE__GAMMA=gamma)
    assert_same(call, definition, torch.randn(9, 6, dtype=torch.float64))


def test_focal_loss_equals_its_definition():
    alpha, gamma = 0.7, 0.5

    def definition(z, y):
        p = [z[i].softmax(0)[y[i]] for i in range(len(z))]
        return sum(-alpha * (1 - one) ** gamma * one.log() for one in p) / len(p)

    call = build("FocalLoss", MODEL__LOSSES__FL__ALPHA=alpha, MODEL__LOSSES__FL__GAMMA=gamma)
    assert_same(call, definition, torch.randn(9, 4, dtype=torch.float64))


def test_adaptive_cross_entropy_equals_its_definition():
    alpha = 0.6

    def definition(z, y):
        losses = []
        for i in range(len(z)):
            logs = z[i].log_softmax(0)
            eps = alpha * float(logs[y[i]].detach().exp())
            others = [logs[c] for c in range(len(logs)) if c != y[i]]
            losses.append(-(1 - eps) * logs[y[i]] - eps / len(others) * sum(others))
        return sum(losses) / len(losses)

    call = build("CrossEntropyLoss", MODEL__LOSSES__CE__EPSILON=-1, MODEL__LOSSES__CE__ALPHA=alpha)
    assert_same(call, definition, torch.randn(9, 5, dtype=torch.float64))


@pytest.mark.parametrize("norm_feat", [False, True])
@pytest.mark.parametrize("hard", [False, True], ids=["weighted", "hard"])
@pytest.mark.parametrize("margin", [0, 0.3])
def test_triplet_loss_equals_its_definition_also_at_large_distances(margin, hard, norm_feat):
    def distance(a, b):
        if norm_feat:
            return 2 - 2 * cosine_similarity(a, b, dim=0)
        return (a - b).square().sum().clamp(min=1e-12).sqrt()

    def mean(values, sign):
        values = torch.stack(values)
        return (values * (sign * values).softmax(0)).sum()

    def definition(x, y):
        losses = []
        for i in range(len(x)):
            d = [distance(x[i], x[j]) for j in range(len(x))]
            near = [d[j] for j in range(len(x)) if y[j] == y[i]]
            far = [d[j] for j in range(len(x)) if y[j] != y[i]]
            ap, an = (torch.stack(near).max(), torch.stack(far).min()) if hard else (mean(near, 1), mean(far, -1))
            losses.append((ap - an + margin).clamp(min=0) if margin else softplus(ap - an))
        return sum(losses) / len(losses)

    call = build(
        "TripletLoss",
        MODEL__LOSSES__TRI__MARGIN=margin,
        MODEL__LOSSES__TRI__HARD_MINING=hard,
        MODEL__LOSSES__TRI__NORM_FEAT=norm_feat,
    )
    for scale in (0.5, 15.0, 200.0):  # v1.3's weighted form collapsed above 15
        assert_same(call, definition, scale * torch.randn(9, 6, dtype=torch.float64))


def test_margins_equal_their_definitions():
    scale, margin = 20.0, 0.3
    rows = {
        "ArcSoftmax": lambda z, hit: scale * (z.acos() + margin * hit).cos(),
        "CosSoftmax": lambda z, hit: scale * (z - margin * hit),
        "CircleSoftmax": lambda z, hit: (
            scale * (1 + margin - z).clamp(min=0).detach() * (z - (1 - margin))
            if hit
            else scale * (z + margin).clamp(min=0).detach() * (z - margin)
        ),
        "Linear": lambda z, hit: scale * z,
    }
    for name, row in rows.items():
        layer = CLS_LAYER_REGISTRY.get(name)(5, scale, margin)

        def call(z, y, layer=layer):
            return (layer(z.clone(), y) - 100 * torch.eye(9, 5, dtype=z.dtype)).square().sum()

        def definition(z, y, row=row):
            grid = [[row(z[i, c], int(c == y[i])) for c in range(5)] for i in range(9)]
            return (torch.stack([torch.stack(line) for line in grid]) - 100 * torch.eye(9, 5)).square().sum()

        assert_same(call, definition, 1.8 * torch.rand(9, 5, dtype=torch.float64) - 0.9)
