"""Keep a sensitive computation in full precision whatever the precision of the model around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["at_least_float32", "without_autocast"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` as float32, or as it is where its dtype is wider already (float64)."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context in which automatic mixed precision leaves matrix products alone.

    Autocast would turn a product of float32 tensors back into half precision, which has about three
    decimal digits: too few for a distance that is a difference of squares, or for a cosine times 64.
    """
    # Autocast does not know the meta device, on which nothing is computed anyway.
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
