"""The Jaccard distance of mutual neighbours, as a matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .k_reciprocal import JaccardRows, encode, half_of, reciprocal_sets
from .knn import knn
from .rerank import half_squared_distances

__all__ = ["compute_jaccard_distance"]


@torch.no_grad()
def compute_jaccard_distance(
    features: Tensor, k1: int = 20, k2: int = 6, search_option: int = 0, fp16: bool = False
) -> np.ndarray:
    """Return the Jaccard distance of the mutual neighbours of every pair.

    As in FastReID v1.3, an image counts among its own ``k1`` neighbours, weights are ``exp(-d^2)`` with the Euclidean
    distance ``d`` as it is, and nothing is mixed in; :func:`~.rerank.re_ranking` differs in all three.

    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, arXiv:1701.08398.

    Args:
        features: ``(N, D)`` finite float; on a GPU, neighbours are searched there.
        k1: neighbours of an image, itself included, that may be mutual, at least 1.
        k2: images, itself included, whose encodings are averaged, at least 1; 1: none.
        search_option: accepted for old callers; there is one way.
        fp16: return half precision.

    Returns:
        ``(N, N)`` in [0, 1], float32, or float16 if ``fp16``.

    Raises:
        ValueError: if ``k1`` or ``k2`` is less than 1.
    """
    if k1 < 1 or k2 < 1:
        raise ValueError(f"k1 and k2 must be at least 1, got {k1} and {k2}")
    result = np.empty((len(features), len(features)), dtype=np.float16 if fp16 else np.float32)
    if not len(features):
        return result
    found = knn(features, features, max(k1, k2), metric="euclidean")
    order = found.places.cpu().numpy()
    sets = reciprocal_sets(order[:, :k1], half_of(k1))
    halves, _ = half_squared_distances(features, sets, found, metric="euclidean")
    jaccard = JaccardRows(encode(sets, 2 * halves, order[:, :k2]))
    for image, row in enumerate(result):
        row[:] = 1 - jaccard[image]
    return result
