"""Pairwise distances, shared by losses and metrics; a name says whether the distance is squared."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32, without_autocast

__all__ = ["cosine_dist", "cosine_similarity", "euclidean_dist", "squared_euclidean_dist"]

_MIN_SQUARED = 1e-12  # below it the square root's gradient is cut off


def squared_euclidean_dist(x: Tensor, y: Tensor) -> Tensor:
    """Return ``||x_i - y_j||^2`` for every pair.

    It is computed as ``|x|^2 + |y|^2 - 2 xy`` in float32 or wider, also under autocast, after moving the origin to
    the mean of ``y``: distances do not change, but the subtraction of two large, almost equal numbers does not occur.

    Args:
        x: ``(N, D)`` float.
        y: ``(M, D)`` float.

    Returns:
        ``(N, M)``, at least 0, float32 or wider; where rounding would make it negative it is 0, with gradient 0.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    with without_autocast(x.device):
        origin = y.detach().mean(dim=0, keepdim=True)  # (1, D)
        x, y = x - origin, y - origin
        squared_norms = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)[None, :]  # (N, M)
        return (squared_norms - 2 * x @ y.t()).clamp(min=0)


def euclidean_dist(x: Tensor, y: Tensor) -> Tensor:
    """Return ``||x_i - y_j||``, not squared, for every pair.

    Args:
        x: ``(N, D)`` float.
        y: ``(M, D)`` float.

    Returns:
        ``(N, M)``, float32 or wider. Distances below 1e-6 are 1e-6 with gradient 0, since the gradient of the
        root is infinite at 0; the distance of a vector to itself is such a one.
    """
    return squared_euclidean_dist(x, y).clamp(min=_MIN_SQUARED).sqrt()


def cosine_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Return the cosine of the angle between ``x_i`` and ``y_j`` for every pair.

    Args:
        x: ``(N, D)`` float; a vector of zeros has cosine 0 with everything.
        y: ``(M, D)`` float.

    Returns:
        ``(N, M)`` in [-1, 1] up to rounding, float32 or wider, also under autocast.
    """
    x, y = at_least_float32(x), at_least_float32(y)
    with without_autocast(x.device):
        return F.normalize(x) @ F.normalize(y).t()


def cosine_dist(x: Tensor, y: Tensor) -> Tensor:
    """Return ``1 - cos(x_i, y_j)`` for every pair: half the squared Euclidean distance of the unit vectors.

    Args:
        x: ``(N, D)`` float.
        y: ``(M, D)`` float.

    Returns:
        ``(N, M)`` in [0, 2] up to rounding, float32 or wider.
    """
    return 1 - cosine_similarity(x, y)
