from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.layers import FRN, TLU


@pytest.mark.parametrize("learned", [False, True])
def test_equals_its_definition(learned):
    layer = FRN(3, eps=0.01, is_eps_leanable=learned).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    if learned:
        nn.init.constant_(layer.eps, -0.5)  # its absolute value counts
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    eps = 0.5 if learned else 0.01
    out = layer(x)
    for n in range(2):
        for c in range(3):
            values = x[n, c].flatten().tolist()
            root = (sum(v * v for v in values) / 8 + eps) ** 0.5
            expected = [layer.weight[0, c].item() * v / root + layer.bias[0, c].item() for v in values]
            assert out[n, c].flatten().tolist() == pytest.approx(expected)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))


def test_what_it_learns_and_saves():
    shapes = {key: tuple(value.shape) for key, value in FRN(3).state_dict().items()}
    assert shapes == {"weight": (1, 3, 1, 1), "bias": (1, 3, 1, 1), "eps": (1,)}
    assert "eps" not in dict(FRN(3).named_parameters())
    assert "eps" in dict(FRN(3, is_eps_leanable=True).named_parameters())
    layer = FRN(3, eps=0.5, is_eps_leanable=True)
    nn.init.zeros_(layer.eps)
    layer.reset_parameters()
    assert layer.eps.item() == 0.5
    with pytest.raises(ValueError, match="eps must be positive, got 0"):
        FRN(3, eps=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype):
    x = torch.randn(2, 3, 4, 4) * 300  # whose square is more than float16 can hold
    out = FRN(3).to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), FRN(3)(x), rtol=2e-2, atol=2e-2)
    assert FRN(3).to(dtype)(torch.zeros(1, 3, 2, 2, dtype=dtype)).eq(0).all()


def test_the_rectifier_has_a_threshold_for_each_channel():
    layer = TLU(2)
    x = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(layer(x), x.relu())
    with torch.no_grad():
        layer.tau[0, 1] = -0.5
    out = layer(x)
    torch.testing.assert_close(out[:, 0], x[:, 0].relu())
    torch.testing.assert_close(out[:, 1], x[:, 1].clamp(min=-0.5))
    assert layer.half()(x.half()).dtype == torch.float16
    layer.reset_parameters()
    assert layer.tau.eq(0).all()
