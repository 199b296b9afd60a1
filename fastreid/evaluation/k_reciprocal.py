"""Images described by their mutual neighbours, as sparse matrices, and the Jaccard similarity of such descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["JaccardRows", "encode", "half_of", "k_reciprocal_neigh", "reciprocal_sets"]


def reciprocal_sets(neighbours: np.ndarray, half: int) -> csr_array:
    """Find the expanded set of mutual neighbours of every image.

    ``R(i)`` are the neighbours of i that have i among theirs, ``H(c)`` the same among the first ``half`` neighbours.
    The expanded set of i is ``R(i)`` with all ``H(c)``, c in ``R(i)``, of which more than two thirds are in ``R(i)``.

    Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017,
    arXiv:1701.08398, equations 2 to 4.

    Args:
        neighbours: ``(N, K)`` integers: the nearest of the N images to each, nearest first; usually itself comes first.
        half: how many of them are asked in the expansion, at least 1.

    Returns:
        ``(N, N)`` sparse matrix with a 1 for each member of a row's set; indices are sorted.
    """
    near, nearer = _mutual(neighbours), _mutual(neighbours[:, :half])
    # nearer is symmetric, so that this is |R(i) & H(c)|; each is looked at where c is in R(i)
    shared = (near @ nearer).multiply(near).tocoo()
    accepted = 3 * shared.data > 2 * np.diff(nearer.indptr)[shared.col]
    candidates = _ones(shared.row[accepted], shared.col[accepted], len(neighbours))
    sets = (near + candidates @ nearer).tocsr()
    sets.data[:] = 1
    sets.sort_indices()
    return sets


def encode(sets: csr_array, distances: np.ndarray, order: np.ndarray) -> csr_array:
    """Weight the members of each set by closeness, and average over the nearest images.

    Source: Zhong et al., as above, equation 7 (weights) and equation 11 (local query expansion).

    Args:
        sets: ``(N, N)`` sparse, see :func:`reciprocal_sets`.
        distances: of each member, in the order of ``sets.data``.
        order: ``(N, k2)`` integers: the nearest images of each that are averaged; with one column nothing is averaged.

    Returns:
        ``(N, N)`` sparse float64, rows sum to 1: ``exp(-distance)`` divided by its sum over the row, averaged. The row
        of an image without any mutual neighbour, itself included, has no entry before the averaging.
    """
    from scipy.sparse import csr_array

    sizes = np.diff(sets.indptr)
    lowest = np.full(len(sizes), np.inf)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    np.minimum.at(lowest, rows, distances)
    weights = np.exp(lowest[rows] - np.asarray(distances, dtype=np.float64))  # the same quotients, without underflow
    weights /= np.bincount(rows, weights=weights, minlength=len(sizes))[rows]
    encoding = csr_array((weights, sets.indices, sets.indptr), shape=sets.shape)
    if order.shape[1] <= 1:
        return encoding
    nearest = _ones(np.repeat(np.arange(len(order)), order.shape[1]), order.ravel(), len(order))
    return ((nearest @ encoding) / order.shape[1]).tocsr()


class JaccardRows:
    """The Jaccard similarity of images to others, row by row; only those that share a neighbour are looked at.

    Of rows ``v`` and ``w`` of an encoding it is ``sum min(v, w) / sum max(v, w) = s / (2 - s)``, ``s = sum min(v, w)``.

    Args:
        encoding: ``(N, N)`` sparse, rows sum to 1, see :func:`encode`.
        first: the images from this position on are what is compared with: ``G = N - first``.
    """

    def __init__(self, encoding: csr_array, first: int = 0) -> None:
        self._encoding = encoding
        self._columns = encoding[first:].tocsc()
        self._count = encoding.shape[0] - first

    def __getitem__(self, image: int) -> np.ndarray:
        """Return the similarity of an image to all others ``(G,)``, float64 in [0, 1]."""
        own = slice(*self._encoding.indptr[image : image + 2])
        members, weights = self._encoding.indices[own], self._encoding.data[own]
        starts = self._columns.indptr[members].astype(np.int64)
        sizes = self._columns.indptr[members + 1] - starts
        ends = np.cumsum(sizes)
        # the entries of all these columns, one column after the other
        entries = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)
        least = np.minimum(self._columns.data[entries], np.repeat(weights, sizes))
        shared = np.bincount(self._columns.indices[entries], weights=least, minlength=self._count)
        return np.minimum(shared / (2 - shared), 1)


def half_of(k1: int) -> int:
    """Return how many neighbours the expansion asks, the image itself included: half of ``k1``, rounded to even."""
    return int(np.around(k1 / 2)) + 1


def k_reciprocal_neigh(initial_rank: np.ndarray, i: int, k1: int) -> np.ndarray:
    """Return those of the first ``k1`` neighbours of image ``i`` that have it among theirs, nearest first.

    Args:
        initial_rank: ``(N, K)`` integers: the nearest of the N images to each, nearest first.
        i: an image.
        k1: how many neighbours count.
    """
    forward = initial_rank[i, :k1]
    return forward[(initial_rank[forward, :k1] == i).any(axis=1)]


def _mutual(neighbours: np.ndarray) -> csr_array:
    count, width = neighbours.shape
    forward = _ones(np.repeat(np.arange(count), width), neighbours.ravel(), count)
    return forward.multiply(forward.T.tocsr()).tocsr()


def _ones(rows: np.ndarray, columns: np.ndarray, count: int) -> csr_array:
    """Return an ``(N, N)`` sparse matrix of ones."""
    from scipy.sparse import coo_array

    ones = np.ones(len(rows), dtype=np.int32)
    return coo_array((ones, (rows.astype(np.int32), columns.astype(np.int32))), shape=(count, count)).tocsr()
