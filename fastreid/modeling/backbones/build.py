from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from ...config import CfgNode
from ...utils.registry import Registry

__all__ = ["BACKBONE_REGISTRY", "Backbone", "FeatureShape", "build_backbone"]

BACKBONE_REGISTRY = Registry("BACKBONE")
"""Callables that take a config and return a :class:`Backbone`.

It maps images ``(N, 3, H, W)``, float and already normalised, to a feature map ``(N, C, h, w)``. Any module that does
so will do; one with ``output_shape()`` has its FEAT_DIM checked when the model is built.
"""


@dataclass(frozen=True)
class FeatureShape:
    """What a backbone returns.

    Attributes:
        channels: C of the feature map.
        stride: input pixels per step of the map; ``None``: the map has one position, whatever the input.
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


def build_backbone(cfg: CfgNode) -> nn.Module:
    """Build the backbone ``MODEL.BACKBONE.NAME``.

    Raises:
        KeyError: if no backbone has that name.
    """
    return BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME)(cfg)
