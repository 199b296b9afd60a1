"""Activations under the names that older code uses; torch has all of them."""

from __future__ import annotations

from torch import nn

__all__ = ["GELU", "MemoryEfficientSwish", "Mish", "Swish"]

GELU = nn.GELU
Mish = nn.Mish
Swish = nn.SiLU
MemoryEfficientSwish = nn.SiLU  # torch's backward pass recomputes the sigmoid, which is all the name asks for
