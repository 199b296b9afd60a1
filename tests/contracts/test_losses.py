"""Losses, poolings and margins against their definitions written as loops in float64."""

from __future__ import annotations

import math

import pytest
import torch

from fastreid.layers import any_softmax, pooling
from fastreid.modeling.losses import cross_entropy_loss, triplet_loss


def naive_cross_entropy(logits, targets, eps, alpha=0.2):
    losses = []
    for row, y in zip(logits.tolist(), targets.tolist()):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(v - top) for v in row))
        log_probs = [v - log_sum for v in row]
        smooth = alpha * math.exp(log_probs[y]) if eps == -1 else eps
        others = smooth / (len(row) - 1)
        losses.append(-sum((1 - smooth if c == y else others) * lp for c, lp in enumerate(log_probs)))
    return sum(losses) / max(1, sum(loss != 0 for loss in losses))


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5, -1])
def test_cross_entropy_equals_its_definition(eps):
    logits, targets = 3 * torch.randn(9, 5, dtype=torch.float64), torch.arange(9) % 5
    loss = cross_entropy_loss(logits, targets, eps)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(naive_cross_entropy(logits, targets, eps), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 0.4])
def test_adaptive_smoothing_follows_alpha(alpha):
    logits, targets = torch.randn(6, 4, dtype=torch.float64), torch.arange(6) % 4
    expected = naive_cross_entropy(logits, targets, -1, alpha)
    assert cross_entropy_loss(logits, targets, -1, alpha).item() == pytest.approx(expected, rel=1e-9)


def test_cross_entropy_divides_by_the_samples_that_lose_something():
    logits = torch.tensor([[2000.0, 0.0, 0.0], [0.3, 0.2, 0.1], [0.0, 0.0, 3000.0]], dtype=torch.float64)
    targets = torch.tensor([0, 1, 2])
    alone = naive_cross_entropy(logits[1:2], targets[1:2], 0.0)
    assert cross_entropy_loss(logits, targets, 0.0).item() == pytest.approx(alone, rel=1e-9)


def test_cross_entropy_of_certain_samples_is_zero_with_finite_gradients():
    logits = torch.tensor([[2000.0, 0.0], [0.0, 2000.0]], dtype=torch.float64, requires_grad=True)
    loss = cross_entropy_loss(logits, torch.tensor([0, 1]), 0.0)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("eps", [0.0, 0.1, -1])
def test_cross_entropy_of_a_single_class_is_zero(eps):
    logits = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    loss = cross_entropy_loss(logits, torch.zeros(3, dtype=torch.long), eps)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.isfinite().all()


def test_cross_entropy_is_stable_for_large_logits():
    logits, targets = 1e4 * torch.randn(6, 4, dtype=torch.float64), torch.arange(6) % 4
    expected = naive_cross_entropy(logits, targets, 0.1)
    assert cross_entropy_loss(logits, targets, 0.1).item() == pytest.approx(expected, rel=1e-9)


def naive_distances(embedding, norm_feat):
    rows = embedding.tolist()
    table = [[0.0] * len(rows) for _ in rows]
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if norm_feat:
                dot = sum(x * y for x, y in zip(a, b))
                table[i][j] = 2 - 2 * dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
            else:
                table[i][j] = math.sqrt(max(sum((x - y) ** 2 for x, y in zip(a, b)), 1e-12))
    return table


def naive_triplet(embedding, targets, margin, norm_feat, hard_mining):
    dist, labels = naive_distances(embedding, norm_feat), targets.tolist()
    terms = []
    for a, label in enumerate(labels):
        positives = [dist[a][j] for j, other in enumerate(labels) if other == label]
        negatives = [dist[a][j] for j, other in enumerate(labels) if other != label]
        if not negatives:
            terms.append(0.0)
            continue
        if hard_mining:
            d_ap, d_an = max(positives), min(negatives)
        else:
            up = [math.exp(d - max(positives)) for d in positives]
            down = [math.exp(min(negatives) - d) for d in negatives]
            d_ap = sum(d * w for d, w in zip(positives, up)) / sum(up)
            d_an = sum(d * w for d, w in zip(negatives, down)) / sum(down)
        gap = d_ap - d_an
        terms.append(max(0.0, gap + margin) if margin > 0 else max(gap, 0) + math.log1p(math.exp(-abs(gap))))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("hard_mining", [True, False], ids=["hard", "weighted"])
@pytest.mark.parametrize("norm_feat", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_triplet_equals_its_definition(margin, norm_feat, hard_mining, scale):
    embedding, targets = scale * torch.randn(12, 8, dtype=torch.float64), torch.arange(12) // 3
    expected = naive_triplet(embedding, targets, margin, norm_feat, hard_mining)
    loss = triplet_loss(embedding, targets, margin, norm_feat, hard_mining)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("hard_mining", [True, False], ids=["hard", "weighted"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("norm_feat", [False, True])
def test_triplet_of_one_identity_is_zero_with_finite_gradients(margin, hard_mining, norm_feat):
    embedding = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    loss = triplet_loss(embedding, torch.zeros(4, dtype=torch.long), margin, norm_feat, hard_mining)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("hard_mining", [True, False], ids=["hard", "weighted"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_triplet_with_one_image_per_identity_counts_no_positive(margin, hard_mining):
    embedding = (0.3 * torch.randn(5, 6, dtype=torch.float64)).requires_grad_()
    loss = triplet_loss(embedding, torch.arange(5), margin, False, hard_mining)
    loss.backward()
    assert loss.item() == pytest.approx(naive_triplet(embedding, torch.arange(5), margin, False, hard_mining), abs=1e-5)
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("hard_mining", [True, False], ids=["hard", "weighted"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("norm_feat", [False, True])
def test_triplet_of_equal_embeddings_is_finite_with_finite_gradients(margin, hard_mining, norm_feat):
    embedding = torch.ones(6, 4, dtype=torch.float64, requires_grad=True)
    loss = triplet_loss(embedding, torch.arange(6) // 2, margin, norm_feat, hard_mining)
    loss.backward()
    assert loss.item() == pytest.approx(margin if margin > 0 else math.log(2), abs=1e-4)
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("norm_feat", [False, True])
def test_triplet_of_a_zero_embedding_has_finite_gradients(norm_feat):
    embedding = torch.randn(4, 4, dtype=torch.float64)
    embedding[0] = 0
    embedding.requires_grad_()
    triplet_loss(embedding, torch.tensor([0, 0, 1, 1]), 0.3, norm_feat, True).backward()
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("hard_mining", [True, False], ids=["hard", "weighted"])
def test_soft_margin_is_finite_at_any_distance(hard_mining):
    embedding, targets = 1e5 * torch.randn(8, 4), torch.arange(8) % 4
    expected = naive_triplet(embedding.double(), targets, 0.0, False, hard_mining)
    assert triplet_loss(embedding, targets, 0.0, False, hard_mining).item() == pytest.approx(expected, rel=1e-3)


def test_triplet_of_float32_features_keeps_small_distances():
    offset = torch.full((1, 64), 3.0)
    embedding, targets = offset + 0.01 * torch.randn(8, 64), torch.arange(8) // 2
    expected = naive_triplet(embedding.double(), targets, 0.3, False, True)
    assert triplet_loss(embedding, targets, 0.3, False, True).item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm_feat", [False, True])
def test_triplet_of_half_precision_features_is_close_to_that_of_full_precision(dtype, norm_feat):
    embedding, targets = (10 * torch.randn(8, 16)).to(dtype), torch.arange(8) // 2
    full = triplet_loss(embedding.float(), targets, 0.3, norm_feat, True).item()
    assert triplet_loss(embedding, targets, 0.3, norm_feat, True).item() == pytest.approx(full, rel=0.05, abs=0.05)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: cross_entropy_loss(x, y, 0.1),
        lambda x, y: triplet_loss(x, y, 0.3, True, True),
        lambda x, y: any_softmax.CircleSoftmax(6, 64, 0.35)(x, y),
        lambda x, y: any_softmax.Linear(6, 30, 0.0)(x, y),
    ],
    ids=["cross_entropy", "triplet", "CircleSoftmax", "Linear"],
)
def test_arguments_are_left_alone(call):
    x, y = torch.rand(6, 6) - 0.5, torch.arange(6)
    kept = x.clone()
    call(x, y)
    assert torch.equal(x, kept)
    assert torch.equal(y, torch.arange(6))


def naive_gem(images, p, eps=1e-6):
    out = torch.zeros(images.shape[:2], dtype=torch.float64)
    for n in range(images.shape[0]):
        for c in range(images.shape[1]):
            values = [max(v, eps) ** p for v in images[n, c].flatten().tolist()]
            out[n, c] = (sum(values) / len(values)) ** (1 / p)
    return out[..., None, None]


@pytest.mark.parametrize("name", ["GeneralizedMeanPooling", "GeneralizedMeanPoolingP"])
@pytest.mark.parametrize("p", [1.0, 3, 6.5])
def test_generalized_mean_equals_its_definition(name, p):
    images = torch.randn(2, 3, 4, 5, dtype=torch.float64)  # half of the values are clamped
    layer = getattr(pooling, name)(norm=p).double()
    assert torch.allclose(layer(images), naive_gem(images, p), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["GeneralizedMeanPooling", "GeneralizedMeanPoolingP"])
def test_generalized_mean_of_zeros_has_finite_gradients(name):
    images = torch.zeros(1, 2, 3, 3, requires_grad=True)
    layer = getattr(pooling, name)()
    layer(images).sum().backward()
    assert images.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", ["GeneralizedMeanPooling", "GeneralizedMeanPoolingP"])
@pytest.mark.parametrize("value", [1e-3, 1.0, 100.0, 3000.0])
def test_generalized_mean_does_not_overflow_or_vanish_in_half_precision(name, value):
    layer = getattr(pooling, name)().half()
    pooled = layer(torch.full((1, 2, 4, 2), value).half())
    assert pooled.dtype == torch.float16
    assert pooled.float().flatten().tolist() == pytest.approx([value] * 2, rel=0.02)


@pytest.mark.parametrize("name", ["GeneralizedMeanPooling", "GeneralizedMeanPoolingP"])
def test_generalized_mean_does_not_overflow_under_autocast(name):
    layer = getattr(pooling, name)()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = layer(torch.full((1, 2, 4, 2), 300.0).bfloat16())
    assert pooled.float().flatten().tolist() == pytest.approx([300.0] * 2, rel=0.02)


def test_learnable_power_is_one_parameter_named_p_and_gets_a_gradient():
    layer = pooling.GeneralizedMeanPoolingP()
    assert {key: tuple(value.shape) for key, value in layer.state_dict().items()} == {"p": (1,)}
    layer(torch.rand(2, 3, 4, 4)).sum().backward()
    assert layer.p.grad.abs().item() > 0
    assert pooling.GeneralizedMeanPooling().state_dict() == {}


def test_average_and_maximum_pooling_are_the_mean_and_the_maximum():
    images = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    assert torch.allclose(pooling.GlobalAvgPool()(images), images.mean((2, 3), keepdim=True), rtol=1e-12)
    assert torch.equal(pooling.GlobalMaxPool()(images), images.amax((2, 3), keepdim=True))


def naive_circle(logits, targets, s, m):
    out = []
    for row, y in zip(logits.tolist(), targets.tolist()):
        target_value = [s * max(0, 1 + m - z) * (z - (1 - m)) for z in row]
        other_value = [s * max(0, z + m) * (z - m) for z in row]
        out.append([target_value[c] if c == y else other_value[c] for c in range(len(row))])
    return torch.tensor(out, dtype=torch.float64)


@pytest.mark.parametrize(("scale", "margin"), [(64, 0.35), (1, 0.0), (30.0, 0.25)])
def test_circle_softmax_equals_its_definition(scale, margin):
    logits, targets = 2 * torch.rand(7, 5, dtype=torch.float64) - 1, torch.arange(7) % 5
    logits[0] = torch.tensor([1.0, -1.0, margin, -margin, 1 - margin])  # every corner
    layer = any_softmax.CircleSoftmax(5, scale, margin)
    assert torch.allclose(layer(logits, targets), naive_circle(logits, targets, scale, margin), rtol=1e-9, atol=1e-12)


def test_circle_softmax_weights_carry_no_gradient():
    s, m = 64, 0.35
    logits = (2 * torch.rand(3, 4, dtype=torch.float64) - 1).requires_grad_()
    targets = torch.tensor([0, 3, 1])
    any_softmax.CircleSoftmax(4, s, m)(logits, targets).sum().backward()
    for n, y in enumerate(targets.tolist()):
        for c in range(4):
            z = logits[n, c].item()
            weight = max(0, 1 + m - z) if c == y else max(0, z + m)
            assert logits.grad[n, c].item() == pytest.approx(s * weight, rel=1e-9, abs=1e-12)


def test_circle_softmax_of_a_target_elsewhere_treats_every_class_as_another():
    logits = 2 * torch.rand(2, 4, dtype=torch.float64) - 1
    out = any_softmax.CircleSoftmax(4, 64, 0.35)(logits, torch.tensor([-1, 2]))
    assert torch.allclose(out, naive_circle(logits, torch.tensor([-1, 2]), 64, 0.35), rtol=1e-9)


def test_linear_scales_the_logits():
    logits = torch.randn(3, 4, dtype=torch.float64)
    assert torch.allclose(any_softmax.Linear(4, 16, 0.0)(logits, torch.tensor([0, 1, 2])), 16 * logits)
