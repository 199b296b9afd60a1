"""How close two images are, on the scale of the data set itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..postprocess.camera_norm import normalize_cameras
from .groups import Groups, draw_same, draw_strangers, median_cosines

__all__ = ["Closeness", "measure_closeness"]

_FEWEST_IDENTITIES = 10  # that a camera must see for its mean to be that of the camera, not of the people


@dataclass(frozen=True, eq=False)
class Closeness:
    """Closeness of images: 0 is usual for two people, 1 for two images of one person.

    Images of one camera have a scale of their own: they are more alike, whoever they show.

    Args:
        features: ``(N, D)`` float32 of length 1, without what is common to the images of a camera.
        camids: ``(N,)`` int64; below 0: not known, and never the same.
        strangers: the median cosine of two people, seen by two cameras, and by one.
        same: likewise of one person.
    """

    features: Tensor
    camids: Tensor
    strangers: tuple[float, float]
    same: tuple[float, float]

    def block(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the closeness ``(R, C)`` of some images to others."""
        cosines = self.features[rows] @ self.features[columns].T
        return self.scale(cosines, self.by_one_camera(rows[:, None], columns))

    def by_one_camera(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether pairs of images are known to be by one camera, as bool; places that broadcast."""
        cameras = self.camids[first]
        return (cameras == self.camids[second]) & (cameras >= 0)

    def scale(self, cosines: Tensor, one_camera: Tensor) -> Tensor:
        """Turn cosines of ``features`` into closeness; ``one_camera`` is bool, of the same shape."""
        where = one_camera.long()
        low, high = (torch.tensor(ends, dtype=cosines.dtype)[where] for ends in (self.strangers, self.same))
        return (cosines - low) / (high - low)


def measure_closeness(
    features: Tensor, camids: np.ndarray, groups: Groups, *, seed: int = 0, memory_gb: float = 0.25
) -> Closeness:
    """Find the scale of a data set from drawn pairs: medians, which some wrong labels do not move far.

    Args:
        features: ``(N, D)`` finite float.
        camids: ``(N,)`` int64; below 0: not known.
        groups: the identities.
        seed: of the drawn pairs.
        memory_gb: memory to use beside the features and a copy of them.

    Raises:
        ValueError: if no identity has two images, or there is only one identity, or images of one person are no closer
            than those of two.
    """
    if len(groups.pids) < 2 or max(map(len, groups.members)) < 2:
        raise ValueError(
            f"there are {len(groups.pids)} identities, of which none or only one has images to compare; suspects need "
            "at least two identities, and some with two images or more"
        )
    even = F.normalize(_even_cameras(features, _large_cameras(camids, groups), memory_gb))
    drawn = (draw_strangers(groups, camids, seed), draw_same(groups, seed))
    strangers, same = _complete(*(median_cosines(even, camids, pairs, memory_gb) for pairs in drawn))
    if not min(high - low for low, high in zip(strangers, same)) > 1e-6:  # also if it is NaN
        raise ValueError(
            f"images of one person have a median cosine of {same[0]:.4f}, and those of two people {strangers[0]:.4f}; "
            "such features cannot tell who is who: take those of a trained model"
        )
    return Closeness(even, torch.from_numpy(camids), strangers, same)


def _even_cameras(features: Tensor, cameras: np.ndarray, memory_gb: float) -> Tensor:
    """Normalise the images of each large camera by themselves, and all others by the images of all cameras."""
    even = normalize_cameras(features, torch.zeros(len(features), dtype=torch.int64), memory_gb=memory_gb)
    large = torch.from_numpy(np.flatnonzero(cameras))
    if len(large):
        own = torch.from_numpy(cameras)[large]
        even[large] = normalize_cameras(features[large], own, memory_gb=memory_gb)
    return even


def _large_cameras(camids: np.ndarray, groups: Groups) -> np.ndarray:
    """Return cameras ``(N,)`` numbered from 1; 0: not known, or one that has seen too few identities."""
    cameras = np.zeros(len(camids), dtype=np.int64)
    for number, camera in enumerate(np.unique(camids[camids >= 0]).tolist(), start=1):
        own = camids == camera
        seen = groups.of_image[own]
        if len(np.unique(seen[seen >= 0])) >= _FEWEST_IDENTITIES:
            cameras[own] = number
    return cameras


def _complete(strangers: tuple[float, float], same: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Fill in what there were too few pairs for, by two cameras or by one, from the other of the two."""
    low, high = np.array(strangers), np.array(same)
    low = np.where(np.isnan(low), low[::-1], low)
    step = high - low
    step = np.where(np.isnan(step), step[::-1], step)
    return tuple(low.tolist()), tuple((low + step).tolist())
