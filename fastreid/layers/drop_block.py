from __future__ import annotations

from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DropBlock2D", "DropBlock2d", "drop_block_2d"]


def drop_block_2d(
    x: Tensor,
    drop_prob: float = 0.1,
    block_size: int = 7,
    gamma_scale: float = 1.0,
    with_noise: bool = False,
    inplace: bool = False,
    batchwise: bool = False,
) -> Tensor:
    """Erase square blocks of a feature map at random, as in training, each channel by itself.

    torchvision has one that takes odd blocks only, and so fails where a map is four positions wide; and whose count of
    kept positions is infinite in float16.

    Source: Ghiasi et al., "DropBlock: A regularization method for convolutional networks", NeurIPS 2018,
    arXiv:1810.12890.

    Args:
        x: ``(N, C, H, W)`` float.
        drop_prob: share of the map to erase, in [0, 1]; reached nearly, since blocks may overlap.
        block_size: side of a block, at least 1; cut to the shorter side of the map. Blocks lie inside the map.
        gamma_scale: factor of the probability that a block starts at a position, >= 0.
        with_noise: put unit normal noise into the blocks, and leave the rest as it is. Otherwise blocks are 0, and the
            rest is multiplied by the number of values over the number of those that are kept.
        inplace: write the result into ``x``.
        batchwise: erase the same positions, by the same noise, of all images.

    Returns:
        A tensor like ``x``.

    Raises:
        ValueError: if a number is out of its range.
    """
    _check(drop_prob, block_size, gamma_scale)
    return _drop(x, drop_prob, block_size, gamma_scale, with_noise, inplace, batchwise, inside=True)


class DropBlock2d(nn.Module):
    """:func:`drop_block_2d` in training, nothing in evaluation.

    Args:
        drop_prob, block_size, gamma_scale, with_noise, inplace, batchwise: as in the function.
        fast: let blocks stick out over the border of the map, which erases less near it; otherwise they lie inside.
    """

    def __init__(
        self,
        drop_prob: float = 0.1,
        block_size: int = 7,
        gamma_scale: float = 1.0,
        with_noise: bool = False,
        inplace: bool = False,
        batchwise: bool = False,
        fast: bool = True,
    ) -> None:
        super().__init__()
        _check(drop_prob, block_size, gamma_scale)
        self.drop_prob = drop_prob
        self.block_size = block_size
        self.gamma_scale = gamma_scale
        self.with_noise = with_noise
        self.inplace = inplace
        self.batchwise = batchwise
        self.fast = fast

    def forward(self, x: Tensor) -> Tensor:
        """Erase blocks of ``(N, C, H, W)``."""
        if not self.training or self.drop_prob == 0:
            return x
        return _drop(
            x,
            self.drop_prob,
            self.block_size,
            self.gamma_scale,
            self.with_noise,
            self.inplace,
            self.batchwise,
            inside=not self.fast,
        )

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"drop_prob={self.drop_prob}, block_size={self.block_size}, fast={self.fast}"


class DropBlock2D:
    """A name that never was more than an error; :class:`DropBlock2d` is the layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("there is no DropBlock2D; use DropBlock2d(drop_prob, block_size), with a small d")


def _check(drop_prob: float, block_size: int, gamma_scale: float) -> None:
    if not 0 <= drop_prob <= 1 or block_size < 1 or gamma_scale < 0:
        raise ValueError(
            "drop block needs drop_prob in [0, 1], block_size >= 1 and gamma_scale >= 0, "
            f"got {drop_prob}, {block_size} and {gamma_scale}"
        )


def _drop(
    x: Tensor,
    drop_prob: float,
    block_size: int,
    gamma_scale: float,
    with_noise: bool,
    inplace: bool,
    batchwise: bool,
    *,
    inside: bool,
) -> Tensor:
    images, channels, height, width = x.shape
    size = min(block_size, height, width)
    # How far a block may begin before the map, and end behind it.
    before, after = (0, 0) if inside else (size // 2, (size - 1) // 2)
    rows, columns = height - size + 1 + before + after, width - size + 1 + before + after
    probability = min(gamma_scale * drop_prob * height * width / (size**2 * rows * columns), 1.0)
    # In float32: the sum of a mask is more than float16 can hold.
    begins = torch.empty(1 if batchwise else images, channels, rows, columns, dtype=torch.float32, device=x.device)
    low, high = size - 1 - before, size - 1 - after
    begins = F.pad(begins.bernoulli_(probability), (low, high, low, high))
    erased = F.max_pool2d(begins, size, stride=1)  # (N or 1, C, H, W)
    if with_noise:
        out = torch.where(erased.bool(), torch.randn_like(erased).to(x.dtype), x)
    else:
        kept = 1 - erased
        out = x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)
    return x.copy_(out) if inplace else out
