"""Pooling layers: from a feature map ``(N, C, H, W)`` to one vector per image ``(N, C, 1, 1)``.

A head finds them by name: ``MODEL.HEADS.POOL_LAYER``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.registry import Registry
from .precision import at_least_float32

__all__ = [
    "POOLING_REGISTRY",
    "AdaptiveAvgMaxPool",
    "ClipGlobalAvgPool",
    "FastGlobalAvgPool",
    "Flatten",
    "GeneralizedMeanPooling",
    "GeneralizedMeanPoolingP",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Identity",
]

POOLING_REGISTRY = Registry("POOLING")
"""Classes built without arguments; their instances turn ``(N, C, H, W)`` of any strides into ``(N, C', 1, 1)``.

The dtype stays.
"""


@POOLING_REGISTRY.register()
class Identity(nn.Module):
    """Return the input: for backbones that pool themselves. Arguments are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x


@POOLING_REGISTRY.register()
class Flatten(nn.Module):
    """Keep every value: ``(N, C, H, W)`` to ``(N, CHW, 1, 1)``. Arguments are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N, CHW, 1, 1)``, in the order channel, row, column."""
        return x.flatten(1)[:, :, None, None]


@POOLING_REGISTRY.register()
class GlobalAvgPool(nn.AdaptiveAvgPool2d):
    """Mean over the map, or over an ``output_size`` grid of cells."""

    def __init__(self, output_size: int | tuple[int, int] = 1, *args: Any, **kwargs: Any) -> None:
        super().__init__(output_size)


@POOLING_REGISTRY.register()
class GlobalMaxPool(nn.AdaptiveMaxPool2d):
    """Maximum over the map, or over an ``output_size`` grid of cells."""

    def __init__(self, output_size: int | tuple[int, int] = 1, *args: Any, **kwargs: Any) -> None:
        super().__init__(output_size)


@POOLING_REGISTRY.register()
class GeneralizedMeanPooling(nn.Module):
    """Power mean ``(mean x^p)^(1/p)`` with a fixed exponent: p = 1 is the mean, a large p nears the maximum.

    Computed in float32 or wider: in float16 the cube of 41 is infinite already.

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019, arXiv:1711.02512.

    Args:
        norm: the exponent p, > 0.
        output_size: the grid of cells, each of which is pooled.
        eps: values below it count as ``eps``, > 0, so that every power has a finite gradient.
    """

    def __init__(
        self,
        norm: float = 3,
        output_size: int | tuple[int, int] = (1, 1),
        eps: float = 1e-6,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if norm <= 0 or eps <= 0:
            raise ValueError(f"norm and eps must be positive, got norm={norm} and eps={eps}")
        self.p: float | nn.Parameter = float(norm)
        self.output_size = output_size
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(N, C, H, W)`` to ``(N, C, *output_size)``, in the dtype of ``x``."""
        p = at_least_float32(self.p) if isinstance(self.p, Tensor) else self.p
        powers = at_least_float32(x).clamp(min=self.eps).pow(p)
        return F.adaptive_avg_pool2d(powers, self.output_size).pow(1.0 / p).to(x.dtype)

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"p={float(self.p)}, output_size={self.output_size}"


@POOLING_REGISTRY.register()
class GeneralizedMeanPoolingP(GeneralizedMeanPooling):
    """:class:`GeneralizedMeanPooling` whose exponent, ``p`` of shape ``(1,)``, is learned, starting at ``norm``."""

    def __init__(
        self,
        norm: float = 3,
        output_size: int | tuple[int, int] = (1, 1),
        eps: float = 1e-6,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(norm, output_size, eps)
        self.p = nn.Parameter(torch.full((1,), float(norm)))

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed; the value of ``p`` is a weight."""
        return f"output_size={self.output_size}"


@POOLING_REGISTRY.register()
class FastGlobalAvgPool(nn.Module):
    """Mean over the map, as a plain reduction.

    Args:
        flatten: return ``(N, C)`` in place of ``(N, C, 1, 1)``.
    """

    def __init__(self, flatten: bool = False, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(N, C, H, W)``."""
        return x.mean(dim=(2, 3), keepdim=not self.flatten)


@POOLING_REGISTRY.register()
class AdaptiveAvgMaxPool(nn.Module):
    """Sum of the mean and the maximum over the map, or over an ``output_size`` grid of cells."""

    def __init__(self, output_size: int | tuple[int, int] = 1, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(N, C, H, W)``."""
        return F.adaptive_avg_pool2d(x, self.output_size) + F.adaptive_max_pool2d(x, self.output_size)


@POOLING_REGISTRY.register()
class ClipGlobalAvgPool(nn.Module):
    """Mean over the map, clipped to [0, 1]. Arguments are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(N, C, H, W)`` to ``(N, C, 1, 1)``."""
        return x.mean(dim=(2, 3), keepdim=True).clamp(0, 1)
