"""Where a ranking is good and where it is not: by camera, by pair of cameras, by identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .rank import IdentityIndex

__all__ = [
    "MatchCameras",
    "breakdown_details",
    "by_camera",
    "by_camera_pair",
    "by_identity",
    "by_match_camera",
    "worst_of_each",
]

MOST_ROWS = 400
"""Rows of a table in the details, at most; the worst ones come first, so the best are those that are left out."""

_WORST_IDENTITIES = 50


class MatchCameras:
    """Note the camera of every true match, in the order of the ranks; a consumer of ``rank_matches``.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        q_camids: ``(Q,)`` their cameras, as the ranking sees them.
        index: of the G gallery images, as the ranking sees them.
        cameras: ``(G,)`` int64 cameras of the gallery that are noted; a protocol may have hidden them from the ranking.

    Attributes:
        cameras: for each query taken in, by its number, ``(M,)`` int64; those of its matches, best rank first.
    """

    def __init__(self, q_pids: np.ndarray, q_camids: np.ndarray, index: IdentityIndex, cameras: np.ndarray) -> None:
        self._pids, self._camids = np.asarray(q_pids).tolist(), np.asarray(q_camids).tolist()
        self._index, self._of_gallery = index, np.asarray(cameras, dtype=np.int64)
        self.cameras: dict[int, np.ndarray] = {}

    def add(
        self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int, start: int = 0
    ) -> None:
        """Take in one query, or a part of it; see :class:`~.rank_blocks.ScoreConsumer`. The arrays stay as they are."""
        if start:  # the matches came with the first part
            return
        matches, _ = self._index.lookup(self._pids[query], self._camids[query])
        self.cameras[query] = self._of_gallery[matches[np.argsort(-cautious, kind="stable")]]


def by_camera(numbers: Mapping[str, np.ndarray], q_camids: np.ndarray) -> list[dict[str, Any]]:
    """Return the rates of the queries of each camera.

    Args:
        numbers: of ``rates_by_query``: ``(Q,)`` each, in [0, 1], NaN without a match.
        q_camids: ``(Q,)`` cameras of the queries.

    Returns:
        For each camera, lowest mAP first: ``camera``, ``queries`` (those with a true match), ``without_match``,
        ``Rank-1`` and ``mAP`` in percent (``None`` if no query of the camera has a match; such cameras come last).
    """
    q_camids = np.asarray(q_camids)
    rows = []
    for camera in np.unique(q_camids).tolist():
        rank_1, precision = (numbers[name][q_camids == camera] for name in ("Rank-1", "mAP"))
        has_match = np.isfinite(precision)
        defined = has_match.any()
        rows.append(
            {
                "camera": camera,
                "queries": int(has_match.sum()),
                "without_match": int((~has_match).sum()),
                "Rank-1": 100 * float(rank_1[has_match].mean()) if defined else None,
                "mAP": 100 * float(precision[has_match].mean()) if defined else None,
            }
        )
    return sorted(rows, key=lambda row: (row["mAP"] is None, row["mAP"] or 0.0, row["camera"]))


def by_camera_pair(
    ranks: Sequence[np.ndarray], cameras: Sequence[np.ndarray], q_camids: np.ndarray
) -> list[dict[str, Any]]:
    """Return how well queries of one camera find their matches of another.

    For a query of camera ``a`` and a camera ``b`` of which the gallery has true matches of it, only these matches are
    looked for; its matches of all other cameras are left out, neither right nor wrong, and all images of other
    identities stay, whatever camera they are of. So the numbers of all pairs compare with each other and with the
    overall ones. The rates of a pair ``(a, b)`` are the means over such queries.

    Args:
        ranks: for each of Q queries ``(M,)`` ranks of its matches among all images that count, in ascending order.
        cameras: for each query ``(M,)`` the cameras of these matches, in the same order.
        q_camids: ``(Q,)`` cameras of the queries.

    Returns:
        For each pair that occurs, lowest mAP first: ``query_camera``, ``gallery_camera``, ``queries`` (with a match of
        that camera), ``pairs`` (such matches of all of them), ``Rank-1`` and ``mAP`` in percent.
    """
    found = by_match_camera(ranks, cameras)
    if not found["query"].size:
        return []
    searches = np.stack([np.asarray(q_camids)[found["query"]], found["camera"]], axis=1)  # (S, 2)
    pairs, which = np.unique(searches, axis=0, return_inverse=True)
    which = which.reshape(-1)  # numpy 2.0 returned a column
    queries = np.bincount(which)
    matches, rank_1, mean = (np.bincount(which, weights=found[name]) for name in ("matches", "is_first", "precision"))
    rows = [
        {
            "query_camera": int(pairs[row, 0]),
            "gallery_camera": int(pairs[row, 1]),
            "queries": int(queries[row]),
            "pairs": int(matches[row]),
            "Rank-1": 100 * float(rank_1[row] / queries[row]),
            "mAP": 100 * float(mean[row] / queries[row]),
        }
        for row in range(len(pairs))
    ]
    return sorted(rows, key=lambda row: (row["mAP"], row["query_camera"], row["gallery_camera"]))


def by_match_camera(ranks: Sequence[np.ndarray], cameras: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return how well each query finds its matches of each camera; see :func:`by_camera_pair` for what counts.

    Args:
        ranks: for each of Q queries ``(M,)`` ranks of its matches among all images that count, in ascending order.
        cameras: for each query ``(M,)`` the cameras of these matches, in the same order.

    Returns:
        For each query and camera of its matches, sorted by both, ``(S,)`` each: ``query`` (its number), ``camera``,
        ``matches`` (their number), ``is_first`` (bool, one of them is ahead of all other identities), and ``precision``
        (average precision in (0, 1]).
    """
    counts = np.array([len(own) for own in ranks], dtype=np.int64)  # (Q,)
    query = np.repeat(np.arange(len(ranks)), counts)  # (P,), P matches of all queries
    place = np.arange(query.size) - np.repeat(np.cumsum(counts) - counts, counts)
    none = np.empty(0, dtype=np.int64)
    ahead = np.concatenate([none, *ranks]) - place - 1  # (P,) other identities ahead of the match
    camera = np.concatenate([none, *cameras])
    order = np.lexsort((place, camera, query))
    query, camera, ahead = query[order], camera[order], ahead[order]
    is_new = (np.diff(query) != 0) | (np.diff(camera) != 0)
    first = np.concatenate([none, np.flatnonzero(np.append(True, is_new))])[: query.size]  # of a query and a camera
    sizes = np.diff(np.append(first, query.size))
    number = np.arange(query.size) - np.repeat(first, sizes) + 1
    totals = np.add.reduceat(number / (ahead + number), first) if first.size else np.empty(0)
    return {
        "query": query[first],
        "camera": camera[first],
        "matches": sizes,
        "is_first": ahead[first] == 0,
        "precision": totals / sizes,
    }


def by_identity(q_pids: np.ndarray, precision: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean average precision of the queries of each identity, the worst identity first.

    All identities of an evaluation are in its queries file: ``by_identity(file["pid"], file["mAP"])``.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        precision: ``(Q,)`` average precision in [0, 1]; NaN: the query has no match, and does not count.

    Returns:
        ``pid``, ``queries`` (int64) and ``mAP`` (float64, in [0, 1]), ``(I,)`` each, of the identities that have a
        query with a match.
    """
    has_match = np.isfinite(precision)
    pids, which = np.unique(np.asarray(q_pids)[has_match], return_inverse=True)
    queries = np.bincount(which, minlength=pids.size)
    mean = np.bincount(which, weights=precision[has_match], minlength=pids.size) / np.maximum(queries, 1)
    order = np.lexsort((pids, mean))
    return {"pid": pids[order], "queries": queries[order], "mAP": mean[order]}


def breakdown_details(
    numbers: Mapping[str, np.ndarray],
    q_pids: np.ndarray,
    q_camids: np.ndarray | None = None,
    ranks: Sequence[np.ndarray] = (),
    cameras: Sequence[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Describe where the rates come from, as plain values, the worst first and no table longer than some hundred rows.

    Args:
        numbers: of ``rates_by_query``.
        q_pids: ``(Q,)`` identities of the queries.
        q_camids: ``(Q,)`` cameras of the queries; ``None``: not known, or no real ones.
        ranks: of each query's matches.
        cameras: of each query's matches, see :func:`by_camera_pair`; ``None``: not known.

    Returns:
        ``identities``: their number, ``count``, and the 50 ``worst``, each with ``pid``, ``queries``, ``mAP``
        (percent). With cameras ``cameras`` and ``camera_pairs``: ``count`` and ``worst``, of which the best are left
        out where there are more than 400.
    """
    identities = by_identity(q_pids, numbers["mAP"])
    worst = zip(*(own[:_WORST_IDENTITIES].tolist() for own in identities.values()), strict=True)
    details: dict[str, Any] = {
        "identities": {
            "count": identities["pid"].size,
            "worst": [{"pid": pid, "queries": queries, "mAP": 100 * mean} for pid, queries, mean in worst],
        }
    }
    if q_camids is not None:
        details["cameras"] = _table(by_camera(numbers, q_camids))
        if cameras is not None:
            details["camera_pairs"] = _table(by_camera_pair(ranks, cameras, q_camids))
    return details


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(rows), "worst": rows[:MOST_ROWS]}


def worst_of_each(details: Mapping[str, Any]) -> str:
    """Return one line that names the worst camera, pair of cameras and identity; empty if there is none."""
    parts = []
    for table, what in (
        ("cameras", "camera {camera}"),
        ("camera_pairs", "cameras {query_camera} -> {gallery_camera}"),
        ("identities", "identity {pid}"),
    ):
        rows = [row for row in details.get(table, {}).get("worst", ()) if row["mAP"] is not None]
        if rows:
            parts.append((what + ": mAP {mAP:.2f} of {queries} queries").format(**rows[0]))
    return "; ".join(parts)
