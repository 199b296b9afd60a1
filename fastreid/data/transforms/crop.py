from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .resize import image_size, interpolation_mode, resize

__all__ = ["center_crop", "crop_size", "random_resized_crop"]


@TRANSFORM_REGISTRY.register()
def random_resized_crop(cfg: CfgNode) -> Callable | None:
    """Cut out a random part of the image and resize it to ``INPUT.CROP.SIZE``; on with ``INPUT.CROP.ENABLED``.

    The part has an area of ``INPUT.CROP.SCALE`` (as a share of the image's) and is ``INPUT.CROP.RATIO`` times as wide
    as high.

    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, section 6.
    """
    crop = cfg.INPUT.CROP
    if not crop.ENABLED:
        return None
    for key, bounds in (("SCALE", crop.SCALE), ("RATIO", crop.RATIO)):
        if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1]:
            raise ValueError(f"INPUT.CROP.{key} must be [lowest, highest] with 0 < lowest <= highest, got {bounds}")
    return partial(
        _crop_and_resize,
        scale=list(crop.SCALE),
        ratio=list(crop.RATIO),
        size=crop_size(cfg),
        interpolation=interpolation_mode(cfg),
    )


@TRANSFORM_REGISTRY.register()
def center_crop(cfg: CfgNode) -> Callable | None:
    """Cut ``INPUT.CROP.SIZE`` out of the middle of a test image; on with ``INPUT.CROP.ENABLED``."""
    return v2.CenterCrop(crop_size(cfg)) if cfg.INPUT.CROP.ENABLED else None


def crop_size(cfg: CfgNode) -> list[int]:
    """Return ``INPUT.CROP.SIZE`` as ``[height, width]``; a single value means a square.

    Raises:
        ValueError: if it is not a size.
    """
    size = image_size(cfg.INPUT.CROP.SIZE, "INPUT.CROP.SIZE")
    if size is None:
        raise ValueError(f"INPUT.CROP.SIZE must be positive while INPUT.CROP.ENABLED, got {cfg.INPUT.CROP.SIZE}")
    return size * 2 if len(size) == 1 else size


def _crop_and_resize(
    image: Tensor, *, scale: list[float], ratio: list[float], size: Sequence[int], interpolation: InterpolationMode
) -> Tensor:
    """Do what ``v2.RandomResizedCrop`` does, with a resize that takes every interpolation on tensors."""
    top, left, height, width = v2.RandomResizedCrop.get_params(image, scale, ratio)
    return resize(image[:, top : top + height, left : left + width], size, interpolation)
