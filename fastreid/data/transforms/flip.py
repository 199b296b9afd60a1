from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .probability import probability

__all__ = ["horizontal_flip"]


@TRANSFORM_REGISTRY.register()
def horizontal_flip(cfg: CfgNode) -> Callable | None:
    """Mirror left and right with ``INPUT.FLIP.PROB``; on with ``INPUT.FLIP.ENABLED``."""
    flip = cfg.INPUT.FLIP
    return v2.RandomHorizontalFlip(p=probability(flip.PROB, "INPUT.FLIP.PROB")) if flip.ENABLED else None
