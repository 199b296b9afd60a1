from __future__ import annotations

from collections.abc import Callable

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from .to_tensor import ToTensor

__all__ = ["OnPil"]


class OnPil:
    """Let a transform of PIL images work on the tensors of a pipeline.

    A registered stage whose transform takes a PIL image returns ``OnPil(transform)``. The way there and back costs
    about 0.1 ms for an image of 256 x 128.

    Args:
        transform: maps a PIL image in mode RGB to a PIL image.
    """

    def __init__(self, transform: Callable[[Image.Image], Image.Image]) -> None:
        self.transform = transform
        self._to_tensor = ToTensor()

    def __call__(self, image: Tensor) -> Tensor:
        """Map a uint8 tensor ``(3, H, W)`` to another."""
        return self._to_tensor(self.transform(F.to_pil_image(image)))

    def __repr__(self) -> str:
        return f"OnPil({self.transform})"
