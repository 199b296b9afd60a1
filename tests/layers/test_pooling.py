from __future__ import annotations

import pytest
import torch

from fastreid.layers import pooling
from fastreid.layers.pooling import POOLING_REGISTRY


def feature_map(n=2, c=3, h=4, w=2):
    return torch.randn(n, c, h, w, dtype=torch.float64)


def over_maps(x, pool):
    """Apply ``pool`` (a list of numbers to a number) to each channel of each image."""
    values = [[pool(channel.flatten().tolist()) for channel in image] for image in x]
    return torch.tensor(values, dtype=x.dtype)[:, :, None, None]


def mean(values):
    return sum(values) / len(values)


def power_mean(p):
    return lambda values: mean([max(v, 1e-6) ** p for v in values]) ** (1 / p)


DEFINITIONS = {
    "GlobalAvgPool": mean,
    "GlobalMaxPool": max,
    "FastGlobalAvgPool": mean,
    "AdaptiveAvgMaxPool": lambda values: mean(values) + max(values),
    "ClipGlobalAvgPool": lambda values: min(max(mean(values), 0.0), 1.0),
    "GeneralizedMeanPooling": power_mean(3),
    "GeneralizedMeanPoolingP": power_mean(3),
}


def test_every_pooling_is_covered_here():
    assert set(POOLING_REGISTRY) == {*DEFINITIONS, "Identity", "Flatten"}
    assert all(getattr(pooling, name) is POOLING_REGISTRY.get(name) for name in POOLING_REGISTRY)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_pooling_equals_its_definition(name):
    x = feature_map() * 2
    layer = POOLING_REGISTRY.get(name)().double()
    torch.testing.assert_close(layer(x), over_maps(x, DEFINITIONS[name]))


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_gradients_are_right(name):
    # Away from the kinks of max and clip, where no numeric gradient exists.
    x = (torch.arange(12, dtype=torch.float64).view(1, 2, 3, 2) / 12 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(POOLING_REGISTRY.get(name)().double(), (x,))


def test_gradient_of_the_learned_exponent_is_right():
    layer = pooling.GeneralizedMeanPoolingP().double()
    x = feature_map().abs() + 0.1

    def pool(p):
        return torch.func.functional_call(layer, {"p": p}, (x,))

    assert torch.autograd.gradcheck(pool, (torch.tensor([2.5], dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize("name", sorted(POOLING_REGISTRY))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_and_memory_layout_make_no_difference(name, dtype):
    x = (feature_map() * 30).to(dtype)
    layer = POOLING_REGISTRY.get(name)().to(dtype)
    out = layer(x)
    assert out.dtype == dtype
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), out)
    torch.testing.assert_close(out.float(), POOLING_REGISTRY.get(name)()(x.float()), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["GeneralizedMeanPooling", "GeneralizedMeanPoolingP"])
def test_power_mean_does_not_overflow_in_half_precision(name):
    x = torch.full((1, 2, 4, 4), 300.0, dtype=torch.float16)  # whose cube is 412 times the largest float16
    layer = POOLING_REGISTRY.get(name)().half()
    torch.testing.assert_close(layer(x).float(), torch.full((1, 2, 1, 1), 300.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_large_activations_do_not_overflow(name, dtype, autocast):
    x = torch.rand(2, 3, 24, 8) * 600 + 300  # the sum over the map is above the largest float16
    layer, leaf = POOLING_REGISTRY.get(name)().to(dtype), x.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = layer(leaf)
        full = POOLING_REGISTRY.get(name)()(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), POOLING_REGISTRY.get(name)()(leaf.detach().float()), rtol=1e-2, atol=0)
    torch.testing.assert_close(full, POOLING_REGISTRY.get(name)()(x))  # autocast takes nothing from float32
    out.sum().backward()
    assert leaf.grad.isfinite().all()


def test_power_mean_of_a_map_without_positive_values_is_eps():
    x = -torch.rand(1, 2, 3, 3, dtype=torch.float64).requires_grad_()
    out = pooling.GeneralizedMeanPooling()(x)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), torch.full((1, 2, 1, 1), 1e-6, dtype=torch.float64))


def test_only_the_learned_exponent_is_a_weight():
    assert not pooling.GeneralizedMeanPooling().state_dict()
    state = pooling.GeneralizedMeanPoolingP(norm=4).state_dict()
    assert {key: value.tolist() for key, value in state.items()} == {"p": [4.0]}


@pytest.mark.parametrize("arguments", [{"norm": 0}, {"norm": -1}, {"eps": 0}])
def test_power_mean_rejects_what_has_no_power_mean(arguments):
    with pytest.raises(ValueError, match="norm and eps must be positive, got"):
        pooling.GeneralizedMeanPooling(**arguments)


def test_output_size_pools_a_grid():
    x = feature_map(h=4, w=2)
    upper, lower = x[:, :, :2], x[:, :, 2:]
    expected = torch.cat([over_maps(half, power_mean(3)) for half in (upper, lower)], dim=2)
    torch.testing.assert_close(pooling.GeneralizedMeanPooling(output_size=(2, 1))(x), expected)
    assert pooling.GlobalAvgPool((2, 1))(x).shape == pooling.GlobalMaxPool((2, 1))(x).shape == (2, 3, 2, 1)
    assert pooling.AdaptiveAvgMaxPool((2, 1))(x).shape == (2, 3, 2, 1)


def test_flatten_and_identity_keep_every_value():
    x = feature_map()
    flat = pooling.Flatten()(x)
    assert flat.shape == (2, 24, 1, 1)
    assert flat[0, 8 + 2 + 1].item() == x[0, 1, 1, 1].item()
    assert pooling.Identity()(x) is x
    assert pooling.FastGlobalAvgPool(flatten=True)(x).shape == (2, 3)


def test_arguments_of_older_callers_are_accepted():
    for name in POOLING_REGISTRY:
        POOLING_REGISTRY.get(name)(*(() if name in DEFINITIONS else (1, 2)), anything=3)
