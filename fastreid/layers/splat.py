from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .batch_norm import get_norm
from .drop_block import DropBlock2d

__all__ = ["SplAtConv2d"]


class SplAtConv2d(nn.Module):
    """Split attention: several convolutions of one input, mixed channel by channel as the whole image suggests.

    One grouped convolution makes ``radix`` maps of ``channels``. The mean of their sum goes through a bottleneck of
    ``max(in_channels * radix // reduction_factor, 32)`` channels, whose softmax over the maps (for radix 1 sigmoid) is
    the weight of each map in each channel.

    Source: Zhang et al., "ResNeSt: Split-Attention Networks", CVPRW 2022, arXiv:2004.08955.

    Args:
        in_channels: channels of the input.
        channels: channels C of the output, a multiple of ``groups``.
        kernel_size, stride, padding, dilation, bias: of the convolution.
        groups: the cardinality: groups of channels that attend by themselves.
        radix: number of maps, at least 1.
        reduction_factor: how narrow the bottleneck is, at least 1.
        rectify, rectify_avg: must be False: rectified convolutions are not part of this library.
        norm_layer: behind the convolution and in the bottleneck, see :func:`get_norm`; ``None``: none.
        dropblock_prob: of a :class:`DropBlock2d` with blocks of 3 behind the first norm, in [0, 1].
        **kwargs: further arguments of the convolution.

    Raises:
        ValueError: if rectified convolutions are asked for, or ``radix`` or ``reduction_factor`` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = (1, 1),
        padding: int | tuple[int, int] = (0, 0),
        dilation: int | tuple[int, int] = (1, 1),
        groups: int = 1,
        bias: bool = True,
        radix: int = 2,
        reduction_factor: int = 4,
        rectify: bool = False,
        rectify_avg: bool = False,
        norm_layer: str | Callable[..., nn.Module] | None = None,
        dropblock_prob: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if rectify or rectify_avg:
            raise ValueError(
                "rectify and rectify_avg must be False: rectified convolutions came from the package rfconv, which "
                "this library does not use"
            )
        if radix < 1 or reduction_factor < 1:
            raise ValueError(f"radix and reduction_factor must be >= 1, got {radix} and {reduction_factor}")
        inner = max(in_channels * radix // reduction_factor, 32)
        self.radix = radix
        self.cardinality = groups
        self.conv = nn.Conv2d(
            in_channels,
            channels * radix,
            kernel_size,
            stride,
            padding,
            dilation,
            groups=groups * radix,
            bias=bias,
            **kwargs,
        )
        self.bn0 = _norm(norm_layer, channels * radix)
        self.dropblock = DropBlock2d(dropblock_prob, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc1 = nn.Conv2d(channels, inner, 1, groups=groups)
        self.bn1 = _norm(norm_layer, inner)
        self.fc2 = nn.Conv2d(inner, channels * radix, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, C, H', W')``."""
        maps = self.relu(self.dropblock(self.bn0(self.conv(x))))  # (N, R * C, H', W')
        means = maps.mean(dim=(2, 3), keepdim=True)  # (N, R * C, 1, 1)
        context = means.unflatten(1, (self.radix, -1)).sum(dim=1)  # (N, C, 1, 1)
        logits = self.fc2(self.relu(self.bn1(self.fc1(context))))  # (N, R * C, 1, 1), by group, then map
        first, *others = zip(maps.chunk(self.radix, dim=1), self._weights(logits).unbind(dim=1))
        out = torch.mul(*first)  # (N, C, H', W'), in the memory format of the maps
        for part, weight in others:
            out = torch.addcmul(out, part, weight)
        return out

    def _weights(self, logits: Tensor) -> Tensor:
        """Return the weight of each map in each channel, ``(N, R, C, 1, 1)``."""
        by_group = logits.unflatten(1, (self.cardinality, self.radix, -1))  # (N, G, R, C / G, 1, 1)
        weights = by_group.sigmoid() if self.radix == 1 else torch.softmax(by_group, dim=2)
        return weights.transpose(1, 2).flatten(2, 3)


def _norm(norm_layer: str | Callable[..., nn.Module] | None, channels: int) -> nn.Module:
    norm = None if norm_layer is None else get_norm(norm_layer, channels)
    return nn.Identity() if norm is None else norm
