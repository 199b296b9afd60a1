"""k-reciprocal re-ranking: of a matrix of distances, and of features without such a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .k_reciprocal import JaccardRows, encode, half_of, reciprocal_sets
from .knn import Neighbours, best, pair_similarity
from .rank_blocks import Adjustment

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["KReciprocal", "check_rerank", "half_squared_distances", "re_ranking"]


def re_ranking(
    q_g_dist: np.ndarray,
    q_q_dist: np.ndarray,
    g_g_dist: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> np.ndarray:
    """Re-rank a matrix of distances; :class:`KReciprocal` does it for features, without such matrices.

    Distances are squared, and those of each image divided by its largest. The result is
    ``(1 - lambda_value) * Jaccard distance + lambda_value * such distance``.

    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, arXiv:1701.08398.

    Args:
        q_g_dist: ``(Q, G)`` distances, at least 0, not squared.
        q_q_dist: ``(Q, Q)`` distances.
        g_g_dist: ``(G, G)`` distances.
        k1: neighbours of an image, beside itself, that may be mutual, at least 1.
        k2: images, itself included, whose encodings are averaged, at least 1; 1: none.
        lambda_value: weight of the original distance, in [0, 1].

    Returns:
        ``(Q, G)`` distances, float32 or wider. Of equal original distances the image at the lower position is nearer.

    Raises:
        ValueError: if shapes do not fit, or a number is out of its range.
    """
    check_rerank(k1, k2, lambda_value)
    q_g, q_q, g_g = (np.asarray(d, dtype=np.result_type(d, np.float32)) for d in (q_g_dist, q_q_dist, g_g_dist))
    queries, gallery = q_g.shape
    if q_q.shape != (queries, queries) or g_g.shape != (gallery, gallery):
        raise ValueError(f"of q_g_dist {q_g.shape}, q_q_dist and g_g_dist must be square, got {q_q.shape}, {g_g.shape}")
    if not queries or not gallery:
        return q_g.copy()
    distances = np.square(np.block([[q_q, q_g], [q_g.T, g_g]]))  # (N, N)
    largest = distances.max(axis=0)
    distances = (distances / np.where(largest > 0, largest, 1)).T
    _, places = best(torch.from_numpy(-distances), max(k1 + 1, k2))
    order = places.numpy()
    sets = reciprocal_sets(order[:, : k1 + 1], half_of(k1))
    jaccard = JaccardRows(encode(sets, distances[_rows_of(sets), sets.indices], order[:, :k2]), first=queries)
    result = lambda_value * distances[:queries, queries:]
    for image, row in enumerate(result):
        row += (1 - lambda_value) * (1 - jaccard[image])
    return result


class KReciprocal:
    """What k-reciprocal re-ranking makes of the similarities of queries to a gallery, one query at a time.

    It is an ``adjust`` of ``rank_matches``. With it, closer images have the higher ``-f``, up to a constant of the
    query, where ``f`` is the distance of :func:`re_ranking` for Euclidean distances: of the features, or, by the metric
    ``cosine``, of the unit vectors. No matrix of all pairs is held: only what each image shares with its neighbours.

    Source: Zhong et al., as above.

    Args:
        features: ``(N, D)`` finite float, first of Q queries, then of G gallery images.
        num_query: Q.
        neighbours: of each of the N images among all N, at least ``max(k1 + 1, k2)`` of them, or all.
        metric: what ``neighbours`` were found by: ``cosine`` or ``euclidean``.
        k1: neighbours of an image, beside itself, that may be mutual, at least 1.
        k2: images, itself included, whose encodings are averaged, at least 1; 1: none.
        lambda_value: weight of the original distance, in [0, 1].
        memory_gb: memory for the products with members of the sets, in units of 1e9 bytes, > 0.

    Raises:
        ValueError: if a number is out of its range, or there are too few neighbours.
    """

    def __init__(
        self,
        features: Tensor,
        num_query: int,
        neighbours: Neighbours,
        *,
        metric: str = "cosine",
        k1: int = 20,
        k2: int = 6,
        lambda_value: float = 0.3,
        memory_gb: float = 0.25,
    ) -> None:
        check_rerank(k1, k2, lambda_value)
        wanted = min(max(k1 + 1, k2), len(features))
        if (
            neighbours.places.shape != (len(features), neighbours.places.shape[1])
            or neighbours.places.shape[1] < wanted
        ):
            raise ValueError(
                f"neighbours must be ({len(features)}, {wanted}) or wider, got {tuple(neighbours.places.shape)}"
            )
        order = neighbours.places.cpu().numpy()
        sets = reciprocal_sets(order[:, : k1 + 1], half_of(k1))
        halves, own = half_squared_distances(features, sets, neighbours, metric=metric, memory_gb=memory_gb)
        ranges = own - neighbours.lowest.double().cpu().numpy()  # half the largest squared distance of each image
        # an image that is as near as can be to all others has distance 0 to them
        scales = np.divide(1.0, ranges, out=np.zeros_like(ranges), where=ranges > 0)
        distances = halves * scales[_rows_of(sets)]
        self._jaccard = JaccardRows(encode(sets, distances, order[:, :k2]), first=num_query)
        self._scales = lambda_value * scales[:num_query]
        self._lambda = lambda_value

    def __call__(self, query: int) -> Adjustment:
        """Return what is done with the similarities of a query; its scores are exactly ``-f``."""
        summands = (1 - self._lambda) * self._jaccard[query]
        return Adjustment(float(self._scales[query]), summands, self._lambda - 1)


def check_rerank(k1: int, k2: int, lambda_value: float) -> None:
    """Check the numbers of k-reciprocal re-ranking.

    Raises:
        ValueError: if one is out of its range.
    """
    if k1 < 1 or k2 < 1:
        raise ValueError(f"k1 and k2 must be at least 1, got {k1} and {k2}")
    if not 0 <= lambda_value <= 1:
        raise ValueError(f"lambda_value must be in [0, 1], got {lambda_value}")


def half_squared_distances(
    features: Tensor, sets: csr_array, neighbours: Neighbours, *, metric: str, memory_gb: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return half the squared distance to each member of each set; those to neighbours are known already.

    Args:
        features: ``(N, D)`` finite float.
        sets: ``(N, N)`` sparse, see ``reciprocal_sets``.
        neighbours: of the images among themselves.
        metric: what ``neighbours`` were found by: ``cosine`` or ``euclidean``.
        memory_gb: see :func:`~.knn.pair_similarity`.

    Returns:
        Half squared distances, at least 0, in the order of ``sets.data``, and the similarity of each image to itself
        ``(N,)``, both float64. ``cosine`` has the distances of the unit vectors.
    """
    count = len(features)
    everyone = torch.arange(count, device=features.device)
    own = pair_similarity(features, features, everyone, everyone, metric=metric, memory_gb=memory_gb)
    own = own.double().cpu().numpy()
    places, order = neighbours.places.cpu().sort(dim=1)  # (N, K)
    keys = (places + torch.arange(count)[:, None] * count).flatten().numpy()  # ascending
    values = neighbours.similarity.cpu().gather(1, order).flatten().double().numpy()
    rows, columns = _rows_of(sets), sets.indices.astype(np.int64)
    wanted = rows * count + columns
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    similarity = values[at]
    new = np.flatnonzero(keys[at] != wanted)
    left, right = (torch.from_numpy(side[new]).to(features.device) for side in (rows, columns))
    found = pair_similarity(features, features, left, right, metric=metric, memory_gb=memory_gb)
    similarity[new] = found.double().cpu().numpy()
    return np.maximum(own[rows] - similarity, 0), own


def _rows_of(sets: csr_array) -> np.ndarray:
    """Return the row of each entry, int64."""
    return np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
