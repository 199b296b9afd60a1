"""Features without what is common to the images of a camera."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...config import CfgNode, configurable
from ..memory_budget import fit_block
from .build import POSTPROCESS_REGISTRY, Retrieval

__all__ = ["CameraNorm", "normalize_cameras"]

logger = logging.getLogger(__name__)

_ROWS = 4096  # images of a camera that are worked on at a time, at most


@POSTPROCESS_REGISTRY.register()
class CameraNorm:
    """Normalise the features of each camera, over queries and gallery; see :func:`normalize_cameras`.

    Args:
        variance: ``TEST.CAMERA_NORM.VARIANCE``: also divide by the standard deviation.
        memory_gb: ``TEST.MEMORY_GB``.
    """

    key = "CAMERA_NORM"
    is_last = False

    @configurable
    def __init__(self, *, variance: bool = True, memory_gb: float = 0.25) -> None:
        self._variance, self._memory_gb = variance, memory_gb

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``TEST.CAMERA_NORM`` and ``TEST.MEMORY_GB``."""
        return {"variance": cfg.TEST.CAMERA_NORM.VARIANCE, "memory_gb": cfg.TEST.MEMORY_GB}

    def __call__(self, retrieval: Retrieval) -> Retrieval:
        """Replace the features.

        Raises:
            ValueError: if the camera of an image is not known (its camid is below 0).
        """
        query, gallery = retrieval.query, retrieval.gallery
        features = normalize_cameras(
            torch.cat([query.features, gallery.features]),
            torch.cat([query.camids, gallery.camids]),
            variance=self._variance,
            memory_gb=self._memory_gb,
        )
        return replace(
            retrieval,
            query=replace(query, features=features[: len(query)]),
            gallery=replace(gallery, features=features[len(query) :]),
        )


@torch.no_grad()
def normalize_cameras(features: Tensor, camids: Tensor, *, variance: bool = True, memory_gb: float = 0.25) -> Tensor:
    """Subtract from each feature the mean over its camera, and divide by the standard deviation, per dimension.

    Background, light and colour of a camera move all its images in a common direction; so images of different people
    by one camera look more alike than they are, and those of one person by two cameras less.

    Source: Song et al., "Exploring the Camera Bias of Person Re-identification", ICLR 2025, arXiv:2502.10195.

    Args:
        features: ``(N, D)`` finite float, not changed.
        camids: ``(N,)`` integer cameras, at least 0. One with a single image is normalised like all images together,
            with a warning.
        variance: False: only subtract the mean.
        memory_gb: memory to use beside the features and the result, in units of 1e9 bytes, > 0.

    Returns:
        ``(N, D)``, float32 or wider. Where a camera's images do not differ it is 0.

    Raises:
        ValueError: if a camid is below 0, or the memory is too small for one image.
    """
    width = 24 * features.shape[1]  # bytes of three copies of an image's feature, in float64 at most
    at_a_time, _ = fit_block(memory_gb, lambda rows, _: width * rows, rows=_ROWS, what="camera normalisation")
    unknown = int((camids < 0).sum())
    if unknown:
        raise ValueError(
            f"no camera is known (the camid is below 0) of {unknown} of {len(camids)} images, which camera "
            "normalisation needs; set TEST.CAMERA_NORM.ENABLED False"
        )
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    result = torch.empty_like(features)
    everyone = torch.arange(len(features), device=features.device)
    single = []
    for camera in camids.unique().tolist():
        own = (camids == camera).nonzero().flatten()
        single += [camera] if len(own) == 1 else []
        mean, deviation = _statistics(features, everyone if len(own) == 1 else own, at_a_time)
        for rows in own.split(at_a_time):
            moved = features[rows] - mean
            result[rows] = moved / deviation if variance else moved
    if single:
        logger.warning(
            "Cameras %s have a single image, whose feature is normalised like those of all cameras together",
            ", ".join(map(str, single)),
        )
    return result


def _statistics(features: Tensor, rows: Tensor, at_a_time: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(D,)`` of some features; where the deviation would be 0 it is 1."""
    total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
    for part in rows.split(at_a_time):
        total += features[part].sum(dim=0, dtype=torch.float64)
    mean = total / len(rows)
    squares = torch.zeros_like(total)
    for part in rows.split(at_a_time):
        squares += (features[part] - mean).square().sum(dim=0)
    deviation = (squares / len(rows)).sqrt()
    # what is left of equal numbers after rounding is no deviation
    flat = deviation <= 4 * torch.finfo(features.dtype).eps * mean.abs()
    return mean.to(features.dtype), deviation.masked_fill(flat, 1).to(features.dtype)
