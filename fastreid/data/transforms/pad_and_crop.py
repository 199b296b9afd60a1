from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .crop import crop_size
from .resize import image_size

__all__ = ["pad_and_crop"]

_MODES = ("constant", "edge", "reflect", "symmetric")


@TRANSFORM_REGISTRY.register()
def pad_and_crop(cfg: CfgNode) -> Callable | None:
    """Pad each side and cut out the former size at a random place; on with ``INPUT.PADDING.ENABLED``.

    Where ``INPUT.SIZE_TRAIN`` is a single value (the shorter side), the cut is a square of that size.

    Raises:
        ValueError: if ``INPUT.PADDING`` is not possible, or the images have no common size to cut out.
    """
    padding = cfg.INPUT.PADDING
    if not padding.ENABLED:
        return None
    if padding.SIZE < 0:
        raise ValueError(f"INPUT.PADDING.SIZE must be >= 0 pixels, got {padding.SIZE}")
    if padding.MODE not in _MODES:
        raise ValueError(f"INPUT.PADDING.MODE is {padding.MODE!r}; use one of {', '.join(_MODES)}")
    size = crop_size(cfg) if cfg.INPUT.CROP.ENABLED else image_size(cfg.INPUT.SIZE_TRAIN, "INPUT.SIZE_TRAIN")
    if size is None:
        raise ValueError(
            f"INPUT.PADDING.ENABLED needs a size to crop to, but INPUT.SIZE_TRAIN {cfg.INPUT.SIZE_TRAIN} means none; "
            "give SIZE_TRAIN a size, or turn INPUT.PADDING off"
        )
    # A single value would be taken for a square by the crop as well; it is written out for the reader.
    size = size * 2 if len(size) == 1 else size
    return v2.RandomCrop(size, padding=padding.SIZE, padding_mode=padding.MODE)
