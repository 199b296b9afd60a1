"""What ``TEST.METRIC`` may name: how features are turned into numbers that grow with closeness."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.registry import Registry

__all__ = ["METRIC_REGISTRY", "cosine", "euclidean", "origin_of"]

METRIC_REGISTRY = Registry("TEST.METRIC")
"""Similarities that are a matrix product.

A metric is a function ``(features (N, D), origin (D,)) -> (projected (N, E), offset (N,) or None)``, which leaves its
arguments as they are. The similarity of query ``q`` and gallery image ``g`` is
``projected_q . projected_g + offset_g``: within one query, closer images must have higher ones; two queries need not be
comparable. ``origin`` is a point somewhere among the gallery's features, for metrics that do not depend on where it is.
"""


@METRIC_REGISTRY.register()
def cosine(features: Tensor, origin: Tensor) -> tuple[Tensor, None]:
    """Rank by the cosine of the angle between two features.

    Args:
        features: ``(N, D)`` float; a vector of zeros has cosine 0 with everything.
        origin: ``(D,)``, of no effect.

    Returns:
        Unit vectors ``(N, D)``, and no offset.
    """
    lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (N, 1)
    if ((lengths > 1e18) | (lengths < 1e-15)).any():  # their squares may not fit into float32
        features = F.normalize(features, p=torch.inf, dim=1, eps=torch.finfo(features.dtype).tiny)
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / lengths.clamp_min(torch.finfo(features.dtype).tiny), None


@METRIC_REGISTRY.register()
def euclidean(features: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Rank by the Euclidean distance ``d`` between two features: the similarity is ``(|q|^2 - d^2) / 2``.

    The features are moved by ``origin`` first. That changes no distance, but features with a large common part would
    otherwise lose their differences to rounding.

    Args:
        features: ``(N, D)`` float.
        origin: ``(D,)`` point near the features.

    Returns:
        The moved features ``(N, D)`` and minus half their squared length ``(N,)``.
    """
    moved = features - origin
    squared_lengths = torch.linalg.vector_norm(moved, dim=1).square_()  # without a temporary of the features' size
    return moved, squared_lengths.mul_(-0.5)


def origin_of(features: Tensor) -> Tensor:
    """Return a point ``(D,)`` in the middle of features ``(N, D)``, which no single one of them can move far."""
    if not len(features):
        return features.new_zeros(features.shape[1])
    # contiguous: torch 2.14 returns uninitialised memory for rows that share theirs, such as expanded ones
    return features.contiguous().nanmedian(dim=0).values.nan_to_num()
