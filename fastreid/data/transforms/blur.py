from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .probability import is_range, probability, stage_probability

__all__ = ["RandomBlur", "gaussian_blur"]


class RandomBlur:
    """Blur the image with a Gaussian, as a camera that is out of focus does.

    The Gaussian is cut off at three standard deviations, and the image mirrored at its edges.

    Args:
        prob: probability, in [0, 1].
        sigma: least and largest standard deviation, in pixels, > 0.

    Raises:
        ValueError: if a number is not possible.
    """

    def __init__(self, prob: float = 0.2, *, sigma: Sequence[float] = (0.1, 2.0)) -> None:
        _check_sigma(sigma, "sigma")
        self.prob = probability(prob, "prob")
        self.sigma = tuple(sigma)

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or a blurred one."""
        if random.random() >= self.prob:
            return image
        sigma = random.uniform(*self.sigma)
        radius = math.ceil(3 * sigma)
        pixels = image.float().contiguous()
        for size in image.shape[-2:]:  # one direction after the other, each down the columns, which is fastest
            kernel = 2 * min(radius, size - 1) + 1
            pixels = F.gaussian_blur(pixels, [1, kernel], [sigma]).transpose(-2, -1).contiguous()
        return pixels.round_().to(torch.uint8)

    def __repr__(self) -> str:
        return f"RandomBlur(prob={self.prob}, sigma={self.sigma})"


def _check_sigma(sigma: Sequence[float], key: str) -> None:
    if not (is_range(sigma) and sigma[0] > 0):
        raise ValueError(f"{key} must be two numbers of pixels with 0 < least <= largest, got {sigma}")


@TRANSFORM_REGISTRY.register()
def gaussian_blur(cfg: CfgNode) -> RandomBlur | None:
    """Blur with ``INPUT.BLUR.PROB`` by a drawn ``INPUT.BLUR.SIGMA`` (pixels); on with ``INPUT.BLUR.ENABLED``.

    Raises:
        ValueError: if ``SIGMA`` is not possible.
    """
    node = cfg.INPUT.BLUR
    if not node.ENABLED:
        return None
    _check_sigma(node.SIGMA, "INPUT.BLUR.SIGMA")
    return RandomBlur(stage_probability(cfg, "BLUR"), sigma=node.SIGMA)
