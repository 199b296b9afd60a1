from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ...config import CfgNode
from .batch_stage import BatchStage
from .build import TRANSFORM_REGISTRY
from .probability import probability, stage_probability

__all__ = ["RandomErasing", "random_erasing"]

_AREA = (0.02, 0.33)  # of the rectangle, as a part of the image's
_RATIO = (0.3, 3.3)  # of its height to its width; its logarithm is uniform


class RandomErasing(BatchStage):
    """Paint a rectangle in one colour: 0.02 to 0.33 of the image's area, 0.3 to 3.3 times as high as wide.

    Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv:1708.04896.

    Args:
        prob: probability, in [0, 1].
        value: colour of the rectangle, RGB in 0..255, rounded to whole numbers.
    """

    def __init__(self, prob: float = 0.5, value: Sequence[float] = (0, 0, 0)) -> None:
        self.prob = probability(prob, "prob")
        # Rounded: uint8 would cut 123.675 to 123.
        self.value = torch.tensor([round(channel) for channel in value], dtype=torch.uint8)[:, None, None]  # (3, 1, 1)

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)``, or a copy with a rectangle if one of ten that are drawn fits in."""
        rectangle = self._draw(*image.shape[-2:])
        return image if rectangle is None else F.erase(image, *rectangle, self.value)

    def draw(self, height: int, width: int) -> Tensor:
        """Return ``(4,)``: top, left, height and width of the rectangle; all 0 if there is none."""
        return torch.tensor(self._draw(height, width) or (0, 0, 0, 0), dtype=torch.float32)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Paint the rectangles of the parameters ``(N, 4)`` on copies of the images ``(N, 3, H, W)``."""
        top, left, height, width = parameters[:, :, None].unbind(dim=1)  # (N, 1) each
        rows = torch.arange(images.shape[-2], device=images.device)
        columns = torch.arange(images.shape[-1], device=images.device)
        inside = (rows >= top) & (rows < top + height)  # (N, H)
        inside = inside[:, :, None] & ((columns >= left) & (columns < left + width))[:, None, :]  # (N, H, W)
        channels = zip(images.unbind(dim=1), self.value.flatten().tolist(), strict=True)
        return torch.stack([channel.masked_fill(inside, colour) for channel, colour in channels], dim=1)

    def _draw(self, rows: int, columns: int) -> tuple[int, int, int, int] | None:
        if random.random() >= self.prob:
            return None
        for _ in range(10):
            area = random.uniform(*_AREA) * rows * columns
            ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if height < rows and width < columns:
                top, left = random.randint(0, rows - height), random.randint(0, columns - width)
                return top, left, height, width
        return None

    def __repr__(self) -> str:
        return f"RandomErasing(prob={self.prob}, value={self.value.flatten().tolist()})"


@TRANSFORM_REGISTRY.register()
def random_erasing(cfg: CfgNode) -> Callable | None:
    """Paint a rectangle in ``INPUT.REA.VALUE`` (RGB, 0..255) with ``INPUT.REA.PROB``; on with ``INPUT.REA.ENABLED``.

    Raises:
        ValueError: if the value is not one of a pixel.
    """
    node = cfg.INPUT.REA
    if not node.ENABLED:
        return None
    if len(node.VALUE) != 3 or not all(0 <= channel <= 255 for channel in node.VALUE):
        raise ValueError(f"INPUT.REA.VALUE must be three numbers (RGB) in 0..255, got {node.VALUE}")
    return RandomErasing(stage_probability(cfg, "REA"), node.VALUE)
