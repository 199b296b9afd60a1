from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import partial

from PIL import Image
from torch import Tensor

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .on_pil import OnPil
from .probability import is_range, probability, stage_probability

__all__ = ["RandomJpeg", "jpeg_quality"]


class RandomJpeg:
    """Compress the image as a JPEG of a drawn quality, and decompress it.

    By Pillow, since the codecs of torchvision, on which ``v2.JPEG`` is built, are to be removed.

    Args:
        prob: probability, in [0, 1].
        quality: least and largest quality, whole numbers in 1..100.

    Raises:
        ValueError: if a number is not possible.
    """

    def __init__(self, prob: float = 0.2, *, quality: Sequence[int] = (30, 95)) -> None:
        _check_quality(quality, "quality")
        self.prob = probability(prob, "prob")
        self.quality = tuple(map(int, quality))  # a config may have 30.0

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or what the compression left of it."""
        if random.random() >= self.prob:
            return image
        return OnPil(partial(_through_jpeg, quality=random.randint(*self.quality)))(image)

    def __repr__(self) -> str:
        return f"RandomJpeg(prob={self.prob}, quality={self.quality})"


def _through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _check_quality(quality: Sequence[int], key: str) -> None:
    if not is_range(quality) or any(value != int(value) or not 1 <= value <= 100 for value in quality):
        raise ValueError(f"{key} must be two whole numbers with 1 <= least <= largest <= 100, got {quality}")


@TRANSFORM_REGISTRY.register()
def jpeg_quality(cfg: CfgNode) -> RandomJpeg | None:
    """Compress with ``INPUT.JPEG.PROB`` by a drawn ``INPUT.JPEG.QUALITY`` (1..100); on with ``INPUT.JPEG.ENABLED``.

    Raises:
        ValueError: if ``QUALITY`` is not possible.
    """
    node = cfg.INPUT.JPEG
    if not node.ENABLED:
        return None
    _check_quality(node.QUALITY, "INPUT.JPEG.QUALITY")
    return RandomJpeg(stage_probability(cfg, "JPEG"), quality=node.QUALITY)
