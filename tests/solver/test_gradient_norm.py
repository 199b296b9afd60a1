from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fastreid.solver.gradient_norm import gradient_norm


def parameters(*gradients, dtype=torch.float64):
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(len(gradient), dtype=dtype))
        parameter.grad = torch.tensor(gradient, dtype=dtype)
        made.append(parameter)
    return made


def test_it_is_the_root_of_the_sum_of_all_squares():
    gradients = [[3.0, -4.0], [0.1, 0.2, -0.3], [30.0]]
    expected = math.sqrt(sum(number**2 for gradient in gradients for number in gradient))
    found = gradient_norm([*parameters(*gradients), nn.Parameter(torch.ones(2))])
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_without_gradients_it_is_0():
    assert gradient_norm([nn.Parameter(torch.ones(2))]).item() == 0
    assert gradient_norm(iter(())).item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_infinity(bad):
    assert gradient_norm(parameters([1.0], [2.0, bad])).item() == math.inf


def test_types_may_differ_and_half_precision_does_not_overflow_between_parameters():
    mixed = parameters([6e4], dtype=torch.float16) + parameters([6e4], [8e4], dtype=torch.float32)
    found = gradient_norm(mixed)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(math.sqrt(2 * 6e4**2 + 8e4**2), rel=1e-3)
