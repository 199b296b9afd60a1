from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import InterpolationMode, v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY

__all__ = ["affine"]


@TRANSFORM_REGISTRY.register()
def affine(cfg: CfgNode) -> Callable | None:
    """Rotate by up to 10°, scale by 0.9 to 1.1 and shear by up to 0.1°; on with ``INPUT.AFFINE.ENABLED``."""
    if not cfg.INPUT.AFFINE.ENABLED:
        return None
    return v2.RandomAffine(degrees=10, scale=(0.9, 1.1), shear=0.1, interpolation=InterpolationMode.BILINEAR)
