from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .grey import grey_picture
from .probability import probability, stage_probability
from .rectangle import check_rectangle, draw_rectangle

__all__ = ["LocalGrayscale", "RandomGrayscale", "local_grayscale", "random_grayscale"]


class RandomGrayscale:
    """Make the whole image grey, keeping three channels.

    Args:
        prob: probability, in [0, 1].
    """

    def __init__(self, prob: float = 0.1) -> None:
        self.prob = probability(prob, "prob")

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or its grey picture."""
        if random.random() >= self.prob:
            return image
        return grey_picture(image).to(torch.uint8).repeat(3, 1, 1)

    def __repr__(self) -> str:
        return f"RandomGrayscale(prob={self.prob})"


class LocalGrayscale:
    """Make a rectangle of the image grey.

    Source: Gong et al., "A Person Re-Identification Data Augmentation Method with Adversarial Defense Effect",
    arXiv:2101.08783, "Local Grayscale Patch Replacement".

    Args:
        prob: probability, in [0, 1].
        area: least and largest area of the rectangle, as a part of the image's, in (0, 1).
        ratio: least ratio of its height to its width, in (0, 1]; the largest is its inverse.

    Raises:
        ValueError: if a number is not possible.
    """

    def __init__(self, prob: float = 0.2, *, area: Sequence[float] = (0.02, 0.4), ratio: float = 0.3) -> None:
        check_rectangle(area, ratio)
        self.prob = probability(prob, "prob")
        self.area, self.ratio = tuple(area), ratio

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or a copy with a grey rectangle."""
        if random.random() >= self.prob:
            return image
        rectangle = draw_rectangle(*image.shape[-2:], area=self.area, ratio=self.ratio)
        if rectangle is None:
            return image
        top, left, height, width = rectangle
        result = image.clone()
        window = result[:, top : top + height, left : left + width]
        window.copy_(grey_picture(window))
        return result

    def __repr__(self) -> str:
        return f"LocalGrayscale(prob={self.prob}, area={self.area}, ratio={self.ratio})"


@TRANSFORM_REGISTRY.register()
def random_grayscale(cfg: CfgNode) -> RandomGrayscale | None:
    """Make the image grey with ``INPUT.GRAYSCALE.PROB``; on with ``INPUT.GRAYSCALE.ENABLED``."""
    return RandomGrayscale(stage_probability(cfg, "GRAYSCALE")) if cfg.INPUT.GRAYSCALE.ENABLED else None


@TRANSFORM_REGISTRY.register()
def local_grayscale(cfg: CfgNode) -> LocalGrayscale | None:
    """Make a rectangle grey with ``INPUT.LOCAL_GRAYSCALE.PROB``; on with ``INPUT.LOCAL_GRAYSCALE.ENABLED``.

    Its size is drawn from ``INPUT.LOCAL_GRAYSCALE.AREA`` and ``RATIO``.

    Raises:
        ValueError: if these are not possible.
    """
    node = cfg.INPUT.LOCAL_GRAYSCALE
    if not node.ENABLED:
        return None
    check_rectangle(node.AREA, node.RATIO, key="INPUT.LOCAL_GRAYSCALE")
    return LocalGrayscale(stage_probability(cfg, "LOCAL_GRAYSCALE"), area=node.AREA, ratio=node.RATIO)
