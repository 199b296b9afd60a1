from __future__ import annotations

import copy
import random
from collections.abc import Hashable, Sequence

import numpy as np
from torch import Tensor
from torchvision.transforms import InterpolationMode

from ...config import CfgNode
from ..data_utils import read_image
from .build import TRANSFORM_REGISTRY
from .probability import probability, stage_probability
from .rectangle import check_rectangle, draw_rectangle
from .resize import resize
from .to_tensor import to_pixels

__all__ = ["PatchOcclusion", "patch_occlusion"]


class PatchOcclusion:
    """Hide a rectangle of the image behind a piece of an image of another identity.

    The other image is drawn from all those of the set with another identity, each with the same probability, resized to
    the size of this one, and read when it is needed. So the result is a function of the random stream alone. It differs
    from ``RandomPatch`` in that the piece never shows the same identity. It needs to know the images, ``bind``, and
    which of them it gets, ``at``.

    Args:
        prob: probability, in [0, 1].
        area: least and largest area of the rectangle, as a part of the image's, in (0, 1).
        ratio: least ratio of its height to its width, in (0, 1]; the largest is its inverse.

    Raises:
        ValueError: if a number is not possible.
    """

    def __init__(self, prob: float = 0.2, *, area: Sequence[float] = (0.05, 0.4), ratio: float = 0.3) -> None:
        check_rectangle(area, ratio)
        self.prob = probability(prob, "prob")
        self.area, self.ratio = tuple(area), ratio
        self._donors: _Donors | None = None
        self._place: int | None = None

    def bind(self, img_paths: Sequence[str], pids: Sequence[Hashable]) -> PatchOcclusion:
        """Return a copy that takes its patches from these images.

        Raises:
            ValueError: if there is only one identity.
        """
        bound = copy.copy(self)
        bound._donors = _Donors(img_paths, pids)
        return bound

    def at(self, place: int) -> PatchOcclusion:
        """Return a copy for the image at ``place`` of those that it is bound to."""
        bound = copy.copy(self)
        bound._place = place
        return bound

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``image`` ``(3, H, W)`` uint8, or a copy with a patch on it.

        Raises:
            RuntimeError: if it does not know the images, or which of them this one is.
        """
        if self._donors is None or self._place is None:
            raise RuntimeError(
                "PatchOcclusion takes its patches from images of other identities, but does not know them; use "
                "PatchOcclusion(...).bind(img_paths, pids).at(place), or INPUT.OCCLUSION.ENABLED with a CommDataset"
            )
        if random.random() >= self.prob:
            return image
        height, width = image.shape[-2:]
        rectangle = draw_rectangle(height, width, area=self.area, ratio=self.ratio)
        if rectangle is None:
            return image
        top, left, rows, columns = rectangle
        donor = resize(to_pixels(read_image(self._donors.draw(self._place))), [height, width], _BILINEAR)  # (3, H, W)
        from_top, from_left = random.randint(0, height - rows), random.randint(0, width - columns)
        result = image.clone()
        result[:, top : top + rows, left : left + columns] = donor[
            :, from_top : from_top + rows, from_left : from_left + columns
        ]
        return result

    def __repr__(self) -> str:
        return f"PatchOcclusion(prob={self.prob}, area={self.area}, ratio={self.ratio})"


_BILINEAR = InterpolationMode.BILINEAR


class _Donors:
    """Images in the order of their identities, so that those of the others are the ones outside of one stretch."""

    def __init__(self, img_paths: Sequence[str], pids: Sequence[Hashable]) -> None:
        codes: dict[Hashable, int] = {}
        self._identity = np.array([codes.setdefault(pid, len(codes)) for pid in pids], dtype=np.int64)  # (n,)
        if len(codes) < 2:
            raise ValueError(
                "INPUT.OCCLUSION takes patches from images of other identities, but the training set has "
                f"{len(codes)} identities; turn it off, or train on more of them"
            )
        self._paths = img_paths
        self._order = np.argsort(self._identity, kind="stable")  # (n,)
        self._ends = np.cumsum(np.bincount(self._identity))  # (identities,)

    def draw(self, place: int) -> str:
        """Draw an image whose identity is not that of the image at ``place``."""
        identity = self._identity[place]
        end = int(self._ends[identity])
        begin = int(self._ends[identity - 1]) if identity else 0
        drawn = random.randrange(len(self._order) - (end - begin))
        return self._paths[self._order[drawn if drawn < begin else drawn + end - begin]]


@TRANSFORM_REGISTRY.register()
def patch_occlusion(cfg: CfgNode) -> PatchOcclusion | None:
    """Hide a rectangle behind another identity with ``INPUT.OCCLUSION.PROB``; on with ``INPUT.OCCLUSION.ENABLED``.

    Its size is drawn from ``INPUT.OCCLUSION.AREA`` and ``RATIO``.

    Raises:
        ValueError: if these are not possible.
    """
    node = cfg.INPUT.OCCLUSION
    if not node.ENABLED:
        return None
    check_rectangle(node.AREA, node.RATIO, key="INPUT.OCCLUSION")
    return PatchOcclusion(stage_probability(cfg, "OCCLUSION"), area=node.AREA, ratio=node.RATIO)
