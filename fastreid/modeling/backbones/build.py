from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ...config import CfgNode
from ...utils.registry import Registry

__all__ = [
    "BACKBONE_REGISTRY",
    "AttentionBackbone",
    "Backbone",
    "FeatureShape",
    "LayeredBackbone",
    "build_backbone",
]

BACKBONE_REGISTRY = Registry("BACKBONE")
"""Callables that take a config and return a :class:`Backbone`.

It maps images ``(N, 3, H, W)``, float and already normalised, to a feature map ``(N, C, h, w)``. Any module that does
so will do; one with ``output_shape()`` has its FEAT_DIM checked when the model is built. One that attends is an
:class:`AttentionBackbone` too, one that knows the order of its layers a :class:`LayeredBackbone`. One with
``takes_cameras`` True is also called with ``cameras``, ``(N,)`` int64, where they are known.
"""


@dataclass(frozen=True)
class FeatureShape:
    """What a backbone returns.

    Attributes:
        channels: C of the feature map.
        stride: input pixels per step of the map; ``None``: it has one position, or tokens, and no height and width.
    """

    channels: int
    stride: int | None


class Backbone(nn.Module, ABC):
    """Base of networks that turn images into a feature map."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, h, w)``."""

    @abstractmethod
    def output_shape(self) -> FeatureShape:
        """Return the shape of what :meth:`forward` returns."""


@runtime_checkable
class AttentionBackbone(Protocol):
    """A backbone of attention layers, such as a vision transformer, that can say where its tokens look.

    It is no base class: a backbone with this method is one. Activation maps read it.
    """

    def attention_maps(self, images: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Return what each layer attends to, from the first to the last.

        Args:
            images: ``(N, 3, H, W)`` float, normalised, as ``forward`` takes them.

        Returns:
            One ``(N, heads, T, T)`` for each layer: in row i the weights with which token i reads the others, behind
            the softmax and without dropout. And rows h and columns w of the patches, whose ``h w`` tokens come last,
            in reading order; before them are the class token and others, if there are any.
        """


@runtime_checkable
class LayeredBackbone(Protocol):
    """A backbone that can say how deep each of its parameters lies; ``SOLVER.LAYER_DECAY`` reads it.

    Attributes:
        num_layers: layers that it tells apart.
    """

    num_layers: int

    def layer_of(self, name: str) -> int:
        """Return 0 for a parameter of the first layer, and ``num_layers`` for one behind the last."""


def build_backbone(cfg: CfgNode) -> nn.Module:
    """Build the backbone ``MODEL.BACKBONE.NAME``.

    Raises:
        KeyError: if no backbone has that name.
    """
    return BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg)
