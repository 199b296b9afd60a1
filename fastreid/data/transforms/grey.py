from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["grey_picture"]


def grey_picture(pixels: Tensor) -> Tensor:
    """Return what PIL's ``convert("L")`` makes of an image, so that a grey image stays as it is.

    ``v2.functional.rgb_to_grayscale`` has the same weights, but cuts where PIL rounds, and makes grey images darker.

    Args:
        pixels: ``(..., 3, H, W)``, whole numbers in 0..255 of any type, RGB.

    Returns:
        ``(..., 1, H, W)`` int64, in 0..255.
    """
    red, green, blue = pixels.to(torch.int32).split(1, dim=-3)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).long()
