from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from ...config import CfgNode
from .batch_stage import BatchStage
from .build import TRANSFORM_REGISTRY
from .probability import probability, stage_probability

__all__ = ["RandomHorizontalFlip", "horizontal_flip"]


class RandomHorizontalFlip(BatchStage):
    """Mirror left and right.

    Args:
        prob: probability, in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = probability(prob, "prob")

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)``, or its mirror image."""
        return image.flip(-1) if random.random() < self.prob else image

    def draw(self, height: int, width: int) -> Tensor:
        """Return ``(1,)``: 1 to mirror the image, otherwise 0."""
        return torch.tensor([float(random.random() < self.prob)])

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Mirror the images ``(N, 3, H, W)`` whose parameter ``(N, 1)`` is 1."""
        return torch.where(parameters[:, :, None, None] > 0, images.flip(-1), images)

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(prob={self.prob})"


@TRANSFORM_REGISTRY.register()
def horizontal_flip(cfg: CfgNode) -> Callable | None:
    """Mirror left and right with ``INPUT.FLIP.PROB``; on with ``INPUT.FLIP.ENABLED``."""
    return RandomHorizontalFlip(stage_probability(cfg, "FLIP")) if cfg.INPUT.FLIP.ENABLED else None
