"""Which images are of one identity, and pairs of images drawn from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..knn import pair_similarity

__all__ = ["Groups", "draw_same", "draw_strangers", "median_cosines"]

_PAIRS = 100_000  # that are drawn
_FEWEST_PAIRS = 100  # that have a median


@dataclass(frozen=True, eq=False)
class Groups:
    """The images of each identity.

    Args:
        pids: ``(C,)`` int64, the identities, ascending.
        members: their images, C arrays of places, ascending.
        of_image: ``(N,)`` int64, each image's position in ``pids``; -1: of nobody.
    """

    pids: np.ndarray
    members: list[np.ndarray]
    of_image: np.ndarray

    @classmethod
    def of(cls, pids: np.ndarray, nobody: frozenset[int]) -> Groups:
        """Group images by their pids ``(N,)`` int64; those with a pid in ``nobody`` belong to no identity."""
        found, of_image = np.unique(pids, return_inverse=True)
        counted = ~np.isin(found, list(nobody))
        position = np.where(counted, np.cumsum(counted) - 1, -1)
        of_image = position[of_image]
        order = np.argsort(of_image, kind="stable")
        ends = np.searchsorted(of_image[order], np.arange(counted.sum() + 1))
        return cls(found[counted], [order[start:end] for start, end in zip(ends, ends[1:])], of_image)

    def images_of(self, pid: int | None) -> np.ndarray:
        """Return the places of an identity's images, int64; of nobody, and of ``None``, none."""
        at = None if pid is None else int(np.searchsorted(self.pids, pid))
        if at is None or at == len(self.pids) or self.pids[at] != pid:
            return np.empty(0, dtype=np.int64)
        return self.members[at]


def draw_same(groups: Groups, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs of images of one identity: any image that has a fellow, and any of its fellows.

    Returns:
        Places ``(P,)`` int64 of the first and the second images.
    """
    rng = np.random.default_rng(seed)
    several = [members for members in groups.members if len(members) > 1]
    sizes = np.array([len(members) for members in several])
    order, starts = np.concatenate(several), np.cumsum(sizes) - sizes
    which = np.repeat(np.arange(len(several)), sizes)
    first = rng.integers(len(order), size=_PAIRS)
    group = which[first]
    step = 1 + (rng.random(_PAIRS) * (sizes[group] - 1)).astype(np.int64)  # to another image of the group
    second = starts[group] + (first - starts[group] + step) % sizes[group]
    return order[first], order[second]


def draw_strangers(groups: Groups, camids: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs of images of two identities: half of them anywhere, half by one camera.

    Returns:
        Places ``(P,)`` int64 of the first and the second images.
    """
    rng = np.random.default_rng(seed)
    counted = np.flatnonzero(groups.of_image >= 0)
    counted = counted[np.argsort(camids[counted], kind="stable")]  # by camera
    cameras, starts, sizes = np.unique(camids[counted], return_index=True, return_counts=True)
    which = np.repeat(np.arange(len(cameras)), sizes)
    first = rng.integers(len(counted), size=_PAIRS)
    near = starts[which[first]] + (rng.random(_PAIRS) * sizes[which[first]]).astype(np.int64)
    far = rng.integers(len(counted), size=_PAIRS)
    first, second = counted[first], counted[np.where(np.arange(_PAIRS) % 2, near, far)]
    different = groups.of_image[first] != groups.of_image[second]
    return first[different], second[different]


def median_cosines(
    features: Tensor, camids: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], memory_gb: float = 0.25
) -> tuple[float, float]:
    """Return the median cosine of pairs by two cameras, or by unknown ones, and by one; NaN where there are too few."""
    one_camera = torch.from_numpy((camids[pairs[0]] == camids[pairs[1]]) & (camids[pairs[0]] >= 0))
    cosines = pair_similarity(features, features, *map(torch.from_numpy, pairs), memory_gb=memory_gb)
    two, one = (
        part.median().item() if len(part) >= _FEWEST_PAIRS else float("nan")
        for part in (cosines[~one_camera], cosines[one_camera])
    )
    return two, one
