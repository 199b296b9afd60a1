from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["ToTensor", "to_pixels"]


class ToTensor:
    """Turn an image into the tensor that the models take: uint8, ``(3, H, W)``, RGB, 0..255."""

    def __call__(self, image: Image.Image | np.ndarray) -> Tensor:
        """Convert one image.

        Args:
            image: PIL image of any mode, or array ``(H, W, 3)`` uint8.

        Returns:
            ``(3, H, W)`` uint8, contiguous, which shares no memory with ``image``.

        Raises:
            ValueError: if an array has another shape or type.
        """
        return to_pixels(image).contiguous()

    def __repr__(self) -> str:
        return "ToTensor()"


def to_pixels(image: Image.Image | np.ndarray) -> Tensor:
    """Convert as ``ToTensor`` does, but leave the channels last in memory, where the resize is fastest."""
    if isinstance(image, Image.Image) and image.mode != "RGB":
        image = image.convert("RGB")
    pixels = np.array(image)  # a copy
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"ToTensor takes a PIL image, or a uint8 array (H, W, 3) in 0..255; got {pixels.dtype} {pixels.shape}"
        )
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (3, H, W)
