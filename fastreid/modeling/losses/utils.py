"""What losses share. Their cosine distance has the old scale: it is a squared distance, in [0, 4]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...layers.distance import cosine_similarity, euclidean_dist
from ...utils import comm

__all__ = ["concat_all_gather", "cosine_dist", "euclidean_dist", "normalize"]


def concat_all_gather(tensor: Tensor) -> Tensor:
    """Concatenate ``(N, ...)`` over all ranks, in rank order, without gradient."""
    return comm.all_gather_tensor(tensor.detach())


def normalize(x: Tensor, axis: int = -1) -> Tensor:
    """Return ``x`` with Euclidean norm 1 along ``axis``; vectors of zeros stay zeros."""
    return F.normalize(x, dim=axis)


def cosine_dist(x: Tensor, y: Tensor) -> Tensor:
    """Return ``2 - 2 cos(x_i, y_j)`` for every pair: the squared Euclidean distance of the unit vectors.

    This is the scale of the losses' margins, twice :func:`fastreid.layers.distance.cosine_dist`.

    Args:
        x: ``(N, D)`` float.
        y: ``(M, D)`` float.

    Returns:
        ``(N, M)`` in [0, 4] up to rounding, float32 or wider.
    """
    return 2 - 2 * cosine_similarity(x, y)
