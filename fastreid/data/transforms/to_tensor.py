from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY

__all__ = ["ToTensor", "to_tensor"]


class ToTensor:
    """Turn an image into the tensor that the models take: uint8, ``(3, H, W)``, RGB, 0..255."""

    def __call__(self, image: Image.Image | np.ndarray) -> Tensor:
        """Convert one image.

        Args:
            image: PIL image of any mode, or array ``(H, W, 3)`` uint8.

        Returns:
            ``(3, H, W)`` uint8, which shares no memory with ``image``.

        Raises:
            ValueError: if an array has another shape or type.
        """
        if isinstance(image, Image.Image):
            image = np.asarray(image.convert("RGB"))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"ToTensor takes a PIL image, or a uint8 array (H, W, 3) in 0..255; got {image.dtype} {image.shape}"
            )
        return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))  # a copy, (3, H, W)

    def __repr__(self) -> str:
        return "ToTensor()"


@TRANSFORM_REGISTRY.register()
def to_tensor(cfg: CfgNode) -> ToTensor:
    """Turn the PIL image into a tensor; always on."""
    return ToTensor()
