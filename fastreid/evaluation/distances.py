"""Matrices of distances as arrays, for callers that want a whole one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..layers.distance import cosine_dist, squared_euclidean_dist
from .jaccard import compute_jaccard_distance

__all__ = ["build_dist", "compute_cosine_distance", "compute_euclidean_distance"]


def build_dist(feat_1: Tensor, feat_2: Tensor, metric: str = "euclidean", **kwargs: Any) -> np.ndarray:
    """Return the distance of every pair.

    Args:
        feat_1: ``(N, D)`` float features.
        feat_2: ``(M, D)`` float features.
        metric: ``euclidean``, squared; ``cosine``, ``1 - cos``; or ``jaccard``, of the mutual neighbours among all
            ``N + M`` images.
        kwargs: for ``jaccard``, arguments of :func:`~.jaccard.compute_jaccard_distance`; otherwise nothing is read.

    Returns:
        ``(N, M)`` float32 or wider.

    Raises:
        ValueError: if there is no such metric.
    """
    if metric == "euclidean":
        return compute_euclidean_distance(feat_1, feat_2)
    if metric == "cosine":
        return compute_cosine_distance(feat_1, feat_2)
    if metric == "jaccard":
        return compute_jaccard_distance(torch.cat([feat_1, feat_2]), **kwargs)[: len(feat_1), len(feat_1) :]
    raise ValueError(f"metric must be euclidean, cosine or jaccard, got {metric!r}")


@torch.no_grad()
def compute_euclidean_distance(features: Tensor, others: Tensor) -> np.ndarray:
    """Return ``|x_i - y_j|^2``, squared, of ``(N, D)`` and ``(M, D)`` float features: ``(N, M)``."""
    return squared_euclidean_dist(features, others).cpu().numpy()


@torch.no_grad()
def compute_cosine_distance(features: Tensor, others: Tensor) -> np.ndarray:
    """Return ``1 - cos(x_i, y_j)`` of ``(N, D)`` and ``(M, D)`` float features: ``(N, M)``."""
    return cosine_dist(features, others).cpu().numpy()
