"""Leave-one-out retrieval: every image of a set is looked for among all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .features import FeatureSet
from .protocol import leave_one_out
from .rank_shares import rank_matches_together

__all__ = ["leave_one_out_ranks", "leave_one_out_retrieval", "retrieval_by_query"]


def leave_one_out_ranks(
    features: Tensor, pids: Tensor, *, metric: str = "cosine", memory_gb: float = 0.25
) -> list[np.ndarray]:
    """Rank the images of each image's identity among all other images, without holding an N x N matrix.

    Every rank must call it with the same images, and does its share of them.

    Args:
        features: ``(N, D)`` float, finite, not normalised.
        pids: ``(N,)`` int64 identities.
        metric: a name in ``METRIC_REGISTRY``.
        memory_gb: memory to use beside the features, in units of 1e9 bytes, > 0.

    Returns:
        For each image ``(M,)`` int64 ranks in ascending order, 1-based, without the image itself; a tie counts against
        the match. Empty if it is the only one of its identity.

    Raises:
        ValueError: if the shapes do not fit, or a similarity is NaN or infinite (the message names the image).
        KeyError: if there is no such metric.
    """
    gallery = FeatureSet(features, pids, torch.zeros_like(pids))
    return rank_matches_together(*leave_one_out(gallery[:0], gallery), metric=metric, memory_gb=memory_gb)


def retrieval_by_query(ranks: Sequence[np.ndarray], recall_at: Sequence[int] = (1, 2, 4, 8)) -> dict[str, np.ndarray]:
    """Return Recall@k and MAP@R of each query, as functions of the ranks of its matches.

    ``Recall@k`` is 1 if a match is among the first k, else 0. ``MAP@R`` of a query with R matches is
    ``sum_i i / rank_i`` over the matches with ``rank_i <= R``, divided by R: the average precision, cut off after the
    R-th image.

    Source: Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, arXiv:2003.08505, section 3.2.

    Args:
        ranks: for each of N queries ``(R,)`` ranks of its matches in ascending order, 1-based.
        recall_at: the k, each at least 1.

    Returns:
        ``Recall@k`` for each k, then ``MAP@R``: ``(N,)`` float64 in [0, 1], NaN for a query without a match.

    Raises:
        ValueError: if a k is less than 1.

    Example:
        >>> {name: own.tolist() for name, own in retrieval_by_query([np.array([1, 4])], (1, 2)).items()}
        {'Recall@1': [1.0], 'Recall@2': [1.0], 'MAP@R': [0.5]}
    """
    if min(recall_at, default=1) < 1:
        raise ValueError(f"the k of Recall@k (TEST.RETRIEVAL.RECALL) must be at least 1, got {tuple(recall_at)}")
    first, precision = np.full((2, len(ranks)), np.nan)
    for query, own in enumerate(ranks):
        if len(own):
            hits = own[own <= len(own)]
            first[query] = own[0]
            precision[query] = (np.arange(1, hits.size + 1) / hits).sum() / len(own)
    numbers = {f"Recall@{k}": np.where(np.isnan(first), np.nan, first <= k) for k in recall_at}
    return {**numbers, "MAP@R": precision}


def leave_one_out_retrieval(
    features: Tensor, pids: Tensor, *, metric: str = "cosine", recall_at: Sequence[int] = (1, 2, 4, 8)
) -> dict[str, float]:
    """Evaluate a set without a query split: each image is looked for among all others.

    Args:
        features: ``(N, D)`` float, finite, not normalised.
        pids: ``(N,)`` int64 identities. An image that is the only one of its identity is in all galleries, and left out
            as a query.
        metric: a name in ``METRIC_REGISTRY``.
        recall_at: the k of Recall@k, each at least 1.

    Returns:
        ``Recall@k`` for each k and ``MAP@R``, in [0, 1]; 0 if no image has another one of its identity.

    Raises:
        ValueError: see :func:`leave_one_out_ranks` and :func:`retrieval_by_query`.
    """
    numbers = retrieval_by_query(leave_one_out_ranks(features, pids, metric=metric), recall_at)
    valid = np.isfinite(numbers["MAP@R"])
    return {name: float(own[valid].mean()) if valid.any() else 0.0 for name, own in numbers.items()}
