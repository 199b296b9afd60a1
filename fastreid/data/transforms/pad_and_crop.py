from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .crop import crop_size
from .resize import image_size

__all__ = ["PadAndCrop", "pad_and_crop"]

_MODES = ("constant", "edge", "reflect", "symmetric")


class PadAndCrop:
    """Pad every side, then cut out a window at a random place, each place as likely as the others.

    Args:
        size: height and width of the window, pixels.
        padding: pixels on each side, at least 0.
        mode: what the padding shows: ``constant`` black, or ``edge``, ``reflect``, ``symmetric`` as in ``numpy.pad``.
    """

    def __init__(self, size: Sequence[int], padding: int, mode: str = "constant") -> None:
        self.size = tuple(size)
        self.padding = padding
        self.mode = mode

    def __call__(self, image: Tensor) -> Tensor:
        """Return the window ``(3, h, w)`` of ``image`` ``(3, H, W)``.

        Raises:
            ValueError: if the padded image is smaller than the window.
        """
        (rows, columns), (height, width), pad = image.shape[-2:], self.size, self.padding
        if rows + 2 * pad < height or columns + 2 * pad < width:
            raise ValueError(
                f"INPUT.PADDING: cannot cut {height} x {width} out of an image of {rows} x {columns} pixels and "
                f"{pad} of padding; give INPUT.SIZE_TRAIN a size, or turn INPUT.PADDING off"
            )
        top = random.randint(0, rows + 2 * pad - height)
        left = random.randint(0, columns + 2 * pad - width)
        # torch's own takes half the time of torchvision's, and knows only the constant.
        pad_sides = nn.functional.pad if self.mode == "constant" else partial(F.pad, padding_mode=self.mode)
        return pad_sides(image, [pad] * 4)[:, top : top + height, left : left + width]  # (3, h, w)

    def __repr__(self) -> str:
        return f"PadAndCrop(size={self.size}, padding={self.padding}, mode={self.mode!r})"


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
    shown = min(size) - (padding.MODE == "reflect")  # a mirror shows no more than there is
    if padding.MODE in ("reflect", "symmetric") and shown < padding.SIZE:
        raise ValueError(
            f"INPUT.PADDING.SIZE {padding.SIZE} is more than MODE {padding.MODE!r} can mirror of {size} pixels; lower "
            f"it to at most {shown}, or use another MODE"
        )
    return PadAndCrop(size * 2 if len(size) == 1 else size, padding.SIZE, padding.MODE)
