"""Weights and inputs that are a function of names, as described with the reference outputs of the older library."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn


def fill_by_name(module: nn.Module) -> None:
    """Overwrite every tensor of the state dict by numbers drawn from a stream that its name seeds."""
    state = module.state_dict()
    module.load_state_dict({name: _values(name, tensor) for name, tensor in state.items()})


def _values(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros_like(tensor)
    stream = _stream(name)
    leaf, shape = name.rsplit(".", 1)[-1], tuple(tensor.shape)
    if leaf == "running_var":
        values = stream.uniform(0.7, 1.4, shape)
    elif leaf == "running_mean":
        values = stream.standard_normal(shape) * 0.05
    elif leaf == "p" and tensor.numel() == 1:
        values = stream.uniform(2.5, 3.5, shape)
    elif "embed" in leaf or leaf == "cls_token":
        values = stream.standard_normal(shape) * 0.05
    elif tensor.ndim >= 2:
        values = stream.standard_normal(shape) / math.sqrt(max(1, tensor.numel() // shape[0]))
    elif leaf == "weight":
        values = stream.uniform(0.6, 1.1, shape)
    else:
        values = stream.standard_normal(shape) * 0.03
    return torch.from_numpy(np.asarray(values)).to(tensor.dtype)


def backbone_input() -> Tensor:
    """Return ``(2, 3, 128, 64)`` float32, as after normalisation."""
    return torch.from_numpy(_stream(repr(("image",))).standard_normal((2, 3, 128, 64)).astype(np.float32))


def model_input(height: int = 128) -> Tensor:
    """Return ``(8, 3, height, 64)`` float32 in 0..255."""
    return torch.from_numpy(_stream(repr(("pix",))).random_sample((8, 3, height, 64)).astype(np.float32)) * 255


def relative_error(ours: Tensor, reference: np.ndarray) -> float:
    """Return ``max |ours - reference| / max |reference|``."""
    return float(np.abs(ours.numpy() - reference).max() / np.abs(reference).max())


def _stream(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()) & 0xFFFFFFFF)
