from __future__ import annotations

import pytest
import torch
from torch import nn

import fastreid.layers
from fastreid.layers import GELU, MemoryEfficientSwish, Mish, Non_local, SELayer, Swish


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
