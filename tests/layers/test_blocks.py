from __future__ import annotations

import gzip
import json

import pytest
import torch
from torch import nn

import fastreid.layers
from fastreid.layers import GELU, ContextBlock, MemoryEfficientSwish, Mish, Non_local, SELayer, SplAtConv2d, Swish


def test_non_local_equals_its_definition():
    block = Non_local(4, "BN").double().eval()
    nn.init.normal_(block.W[1].weight)
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    theta, phi, g = (conv(x).flatten(2) for conv in (block.theta, block.phi, block.g))  # (N, K, HW)
    expected = torch.zeros(2, g.shape[1], 6, dtype=torch.float64)
    for n in range(2):
        for i in range(6):
            for j in range(6):
                expected[n, :, i] += (theta[n, :, i] @ phi[n, :, j]) * g[n, :, j] / 6
    torch.testing.assert_close(block(x), x + block.W(expected.view(2, -1, 3, 2)))


def test_non_local_starts_as_identity():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(Non_local(8, "BN")(x), x)


@pytest.mark.parametrize("reduc_ratio", [1, 2, 8])
def test_non_local_has_one_inner_channel_whatever_is_asked(reduc_ratio):
    shapes = {key: tuple(value.shape) for key, value in Non_local(16, "BN", reduc_ratio).state_dict().items()}
    assert shapes["g.weight"] == shapes["theta.weight"] == shapes["phi.weight"] == (1, 16, 1, 1)
    assert shapes["W.0.weight"] == (16, 1, 1, 1)


def test_non_local_does_not_overflow_in_half_precision():
    block = Non_local(4, "BN").eval()
    for conv in (block.phi, block.g, block.theta):
        nn.init.constant_(conv.weight, 1.0)
    nn.init.ones_(block.W[1].weight)
    x = torch.full((1, 4, 32, 32), 2.0)
    torch.testing.assert_close(block.half()(x.half()).float(), block.float()(x), rtol=2e-2, atol=1.0)


def test_squeeze_and_excitation_equals_its_definition():
    layer = SELayer(8, reduction=4).double()
    x = torch.randn(2, 8, 3, 2, dtype=torch.float64)
    first, second = layer.fc[0].weight, layer.fc[2].weight
    assert first.shape == (2, 8)
    for n in range(2):
        means = torch.stack([x[n, c].mean() for c in range(8)])
        weights = torch.sigmoid(second @ torch.relu(first @ means))
        torch.testing.assert_close(layer(x)[n], x[n] * weights[:, None, None])


def test_squeeze_and_excitation_rejects_a_reduction_to_nothing():
    with pytest.raises(ValueError, match=r"reduction must be in 1\.\.8 .* got 16"):
        SELayer(8)


def test_activations_are_their_definitions():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    torch.testing.assert_close(Mish()(x), x * torch.tanh(torch.log1p(torch.exp(x))))
    for swish in (Swish(), MemoryEfficientSwish()):
        torch.testing.assert_close(swish(x), x / (1 + torch.exp(-x)))
    torch.testing.assert_close(GELU()(x), x * 0.5 * (1 + torch.erf(x / 2**0.5)))


def test_every_exported_name_exists():
    assert all(hasattr(fastreid.layers, name) for name in fastreid.layers.__all__)


@pytest.mark.parametrize("pooling_type", ["att", "avg"])
@pytest.mark.parametrize("fusion_types", [("channel_add",), ("channel_mul",), ("channel_add", "channel_mul")])
def test_context_block_equals_its_definition(pooling_type, fusion_types):
    block = ContextBlock(4, 0.5, pooling_type, fusion_types).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    for n in range(2):
        positions = x[n].flatten(1)  # (C, HW)
        weights = torch.full((6,), 1 / 6, dtype=torch.float64)
        if pooling_type == "att":
            scores = block.conv_mask.weight[0, :, 0, 0] @ positions + block.conv_mask.bias
            weights = torch.exp(scores) / torch.exp(scores).sum()
        context = sum(weights[i] * positions[:, i] for i in range(6))
        torch.testing.assert_close(block.spatial_pool(x)[n, :, 0, 0], context)

        def transformed(branch, context=context):
            first, norm, _, last = branch
            hidden = first.weight[:, :, 0, 0] @ context + first.bias
            hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + 1e-5).sqrt()
            hidden = (hidden * norm.weight.flatten() + norm.bias.flatten()).relu()
            return (last.weight[:, :, 0, 0] @ hidden + last.bias)[:, None, None]

        expected = x[n]
        if "channel_mul" in fusion_types:
            expected = expected * torch.sigmoid(transformed(block.channel_mul_conv))
        if "channel_add" in fusion_types:
            expected = expected + transformed(block.channel_add_conv)
        torch.testing.assert_close(block(x)[n], expected)


def test_context_block_starts_by_adding_nothing():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(ContextBlock(8, 0.25)(x), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 0.1), "ratio must leave at least one of 8 channels, got 0.1"),
        ((8, 0.5, "max"), "pooling_type must be att or avg, got 'max'"),
        ((8, 0.5, "att", ()), r"fusion_types must hold .* got \(\)"),
        ((8, 0.5, "att", ("add",)), r"fusion_types must hold .* got \('add',\)"),
    ],
)
def test_context_block_rejects_what_it_does_not_know(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContextBlock(*arguments)


@pytest.mark.parametrize(("radix", "groups"), [(1, 1), (1, 2), (2, 1), (2, 2), (4, 2)])
def test_split_attention_equals_its_definition(radix, groups):
    channels = 4
    layer = SplAtConv2d(8, channels, 3, 2, 1, groups=groups, radix=radix, norm_layer="BN", bias=False).double().eval()
    x = torch.randn(2, 8, 6, 4, dtype=torch.float64)
    maps = layer.bn0(layer.conv(x)).relu()
    assert maps.shape == (2, radix * channels, 3, 2)
    splits = [maps[:, r * channels : (r + 1) * channels] for r in range(radix)]
    hidden = layer.bn1(layer.fc1(sum(splits).mean(dim=(2, 3), keepdim=True))).relu()
    logits = layer.fc2(hidden).flatten(1)
    expected = torch.zeros_like(splits[0])
    width = channels // groups
    for n in range(2):
        for group in range(groups):
            for k in range(width):
                scores = [logits[n, (group * radix + r) * width + k] for r in range(radix)]
                for r in range(radix):
                    weight = scores[r].sigmoid() if radix == 1 else scores[r].exp() / sum(s.exp() for s in scores)
                    expected[n, group * width + k] += weight * splits[r][n, group * width + k]
    torch.testing.assert_close(layer(x), expected)


def test_split_attention_has_the_published_names(shared_dir):
    with gzip.open(shared_dir / "compat" / "state_dict_keys.json.gz", "rt") as file:
        published = json.load(file)["backbone/resnest/50x"]
    prefix = "layer1.0.conv2."
    expected = {key.removeprefix(prefix): shape for key, shape in published.items() if key.startswith(prefix)}
    layer = SplAtConv2d(64, 64, 3, padding=1, bias=False, groups=1, norm_layer="BN")
    assert {key: list(value.shape) for key, value in layer.state_dict().items()} == expected


@pytest.mark.parametrize("norm_layer", [None, ""])
def test_split_attention_goes_without_norm(norm_layer):
    layer = SplAtConv2d(4, 4, 1, norm_layer=norm_layer)
    assert {key.split(".")[0] for key in layer.state_dict()} == {"conv", "fc1", "fc2"}
    assert layer(torch.randn(2, 4, 3, 3)).shape == (2, 4, 3, 3)


@pytest.mark.parametrize("arguments", [{"rectify": True}, {"rectify_avg": True}])
def test_split_attention_refuses_rectified_convolutions(arguments):
    with pytest.raises(ValueError, match="rectify and rectify_avg must be False"):
        SplAtConv2d(4, 4, 1, **arguments)
    with pytest.raises(ValueError, match="radix and reduction_factor must be >= 1, got 0 and 4"):
        SplAtConv2d(4, 4, 1, radix=0)
