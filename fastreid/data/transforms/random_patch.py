from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode

from ...config import CfgNode
from ..data_utils import read_image
from .build import TRANSFORM_REGISTRY
from .probability import probability, stage_probability
from .resize import resize
from .to_tensor import to_pixels

__all__ = ["RandomPatch", "random_patch"]


class RandomPatch:
    """Paste a patch of another image of the data set on the image.

    The other image is drawn from the whole set and read when it is needed; so the result is a function of the random
    stream alone, whatever came before, and nothing is kept in memory. It needs to know the images: ``bind``.

    Source: Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019, arXiv:1905.00953
    (there with a pool of patches of earlier images).

    Args:
        prob_happen: probability that an image gets a patch, in [0, 1].
        pool_capacity: use at most this many images of the set, evenly spaced, as donors of patches.
        min_sample_size: leave the images alone where the set has fewer images than this.
        patch_min_area: smallest area of a patch, as a part of the image's, in (0, 1).
        patch_max_area: largest area, likewise.
        patch_min_ratio: smallest ratio of height to width, in (0, 1]; the largest is its inverse.
        prob_flip_leftright: probability that a patch is mirrored, in [0, 1].

    Raises:
        ValueError: if areas or ratio are not possible.
    """

    def __init__(
        self,
        prob_happen: float = 0.5,
        pool_capacity: int = 50000,
        min_sample_size: int = 100,
        patch_min_area: float = 0.01,
        patch_max_area: float = 0.5,
        patch_min_ratio: float = 0.1,
        prob_flip_leftright: float = 0.5,
    ) -> None:
        if not 0 < patch_min_area <= patch_max_area < 1:
            raise ValueError(f"patch areas need 0 < min <= max < 1, got {patch_min_area} and {patch_max_area}")
        if not 0 < patch_min_ratio <= 1:
            raise ValueError(f"patch_min_ratio must be in (0, 1], got {patch_min_ratio}")
        if pool_capacity < 1:
            raise ValueError(f"pool_capacity must be >= 1, got {pool_capacity}")
        self.prob_happen = probability(prob_happen, "prob_happen")
        self.pool_capacity = pool_capacity
        self.min_sample_size = min_sample_size
        self.patch_min_area = patch_min_area
        self.patch_max_area = patch_max_area
        self.patch_min_ratio = patch_min_ratio
        self.prob_flip_leftright = probability(prob_flip_leftright, "prob_flip_leftright")
        self._donors: Sequence[str] | None = None

    def bind(self, img_paths: Sequence[str]) -> RandomPatch:
        """Return a copy that takes its patches from ``img_paths``; ``CommDataset`` calls this with its own images."""
        bound = copy.copy(self)
        step = max(1, math.ceil(len(img_paths) / self.pool_capacity))
        bound._donors = img_paths[::step] if len(img_paths) >= self.min_sample_size else ()
        return bound

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or a copy with a patch on it.

        Raises:
            RuntimeError: if it is not bound.
        """
        if self._donors is None:
            raise RuntimeError(
                "RandomPatch takes its patches from other images of the data set, but does not know them; "
                "use RandomPatch(...).bind(img_paths), or INPUT.RPT.ENABLED with build_transforms"
            )
        if not self._donors or random.random() >= self.prob_happen:
            return image
        height, width = image.shape[-2:]
        patch_width, patch_height = self.generate_wh(width, height)
        if patch_width is None:
            return image
        donor = to_pixels(read_image(self._donors[random.randrange(len(self._donors))]))
        donor = resize(donor, [height, width], InterpolationMode.BILINEAR)  # (3, H, W)
        patch = self.transform_patch(_window(donor, patch_height, patch_width))
        result = image.clone()
        _window(result, patch_height, patch_width).copy_(patch)
        return result

    def generate_wh(self, W: int, H: int) -> tuple[int, int] | tuple[None, None]:
        """Draw a patch's width and height for an image of ``W`` x ``H`` pixels; two ``None`` if 100 draws give none."""
        for _ in range(100):
            area = random.uniform(self.patch_min_area, self.patch_max_area) * W * H
            ratio = random.uniform(self.patch_min_ratio, 1 / self.patch_min_ratio)
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width < W and 0 < height < H:
                return width, height
        return None, None

    def transform_patch(self, patch: Tensor) -> Tensor:
        """Mirror a patch ``(3, h, w)`` with ``prob_flip_leftright``."""
        return torch.flip(patch, dims=[-1]) if random.random() < self.prob_flip_leftright else patch

    def __repr__(self) -> str:
        return f"RandomPatch(prob_happen={self.prob_happen})"


def _window(image: Tensor, height: int, width: int) -> Tensor:
    """Return a view ``(3, height, width)`` of ``image`` at a random place."""
    top = random.randint(0, image.shape[-2] - height)
    left = random.randint(0, image.shape[-1] - width)
    return image[:, top : top + height, left : left + width]


@TRANSFORM_REGISTRY.register()
def random_patch(cfg: CfgNode) -> Callable | None:
    """Paste a patch of another training image with ``INPUT.RPT.PROB``; on with ``INPUT.RPT.ENABLED``."""
    return RandomPatch(prob_happen=stage_probability(cfg, "RPT")) if cfg.INPUT.RPT.ENABLED else None
