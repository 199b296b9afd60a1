"""Rank the true matches of queries by counting; no gallery row is ever sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .cuhk03 import SingleShot
from .rates import average_precision, cmc, inverse_negative_penalty, warn_unmatched

__all__ = [
    "IdentityIndex",
    "Rounding",
    "check_matrix",
    "eval_cuhk03",
    "eval_market1501",
    "evaluate_py",
    "evaluate_rank",
    "match_ranks",
    "rank_rows",
]

_VALUES_AT_A_TIME, _BARS_AT_A_TIME = 32640, 32  # compared at once: a megabyte of outcomes
_WORDS = 255  # of eight outcomes each: so many may be added up before a byte runs over
_MANY_BARS = 512  # from about here on, sorting them is faster than comparing all with all


def match_ranks(similarity: np.ndarray, is_match: np.ndarray, is_junk: np.ndarray) -> np.ndarray:
    """Rank every true match of one query without sorting the gallery.

    A match's rank is one plus the number of valid gallery images that score higher; on ties the
    other image goes first, so that a constant score never looks like a good ranking.

    Args:
        similarity: ``(G,)`` float, higher is closer; must be finite.
        is_match: ``(G,)`` bool, same identity and not junk.
        is_junk: ``(G,)`` bool, left out of the ranking.

    Returns:
        ``(M,)`` int64 ranks in ascending order, 1-based; empty if there is no match.

    Raises:
        ValueError: if a similarity is NaN or infinite; the message says how many are.

    Example:
        >>> match_ranks(np.array([0.9, 0.5, 0.7]), np.array([True, True, False]), np.zeros(3, bool))
        array([1, 3])
    """
    similarity = np.array(similarity, dtype=np.result_type(similarity, np.float32))
    _require_finite(similarity, "similarity")
    return _count_ranks(similarity, is_match, is_junk)


def _count_ranks(
    similarity: np.ndarray, matches: np.ndarray, junk: np.ndarray, slack: np.ndarray | float = 0.0
) -> np.ndarray:
    """Rank the images at ``matches`` without those at ``junk``; what ``similarity`` says of both is overwritten."""
    bars = np.sort(similarity[matches] - slack)[::-1]  # (M,), best first; who reaches a bar is ahead of its match
    similarity[matches] = similarity[junk] = -np.inf
    return _count_reaching(similarity, bars) + np.arange(1, bars.size + 1)


def _count_reaching(values: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """Return how many values ``(G,)`` reach each bar, ``(M,)`` int64, counted in pieces that stay in the cache."""
    if bars.size > _MANY_BARS:
        return _count_reaching_many(values, bars)
    counts = np.zeros(bars.size, dtype=np.int64)
    for start in range(0, values.size, _VALUES_AT_A_TIME):
        piece = values[start : start + _VALUES_AT_A_TIME]
        sums = -(-piece.size // (8 * _WORDS))
        for first in range(0, bars.size, _BARS_AT_A_TIME):
            part = slice(first, first + _BARS_AT_A_TIME)
            reaches = np.empty((bars[part].size, sums * 8 * _WORDS), dtype=bool)
            np.greater_equal(piece, bars[part, None], out=reaches[:, : piece.size])
            reaches[:, piece.size :] = False
            # The outcomes are bytes of 0 and 1. Adding them up as words of eight is several times as fast as counting.
            words = reaches.view(np.uint64).reshape(len(reaches), sums, _WORDS)
            counts[part] += words.sum(axis=2).view(np.uint8).sum(axis=1, dtype=np.int64)
    return counts


def _count_reaching_many(values: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """Do the same by looking each value up among the sorted bars: its time hardly grows with their number."""
    order = np.argsort(bars)
    reached = np.searchsorted(bars[order], values, side="right")  # (G,) bars that each value reaches
    at_least = np.bincount(reached, minlength=bars.size + 1)[::-1].cumsum()[::-1]  # values that reach so many bars
    counts = np.empty(bars.size, dtype=np.int64)
    counts[order] = at_least[1:]
    return counts


def _require_finite(similarity: np.ndarray, what: str) -> None:
    if not np.isfinite(similarity).all():
        bad = np.count_nonzero(~np.isfinite(similarity))
        raise ValueError(
            f"{what} has {bad} of {similarity.size} values that are NaN or infinite; check the features behind it"
        )


@dataclass(frozen=True, eq=False)
class Rounding:
    """How far rounding may move a similarity that was computed as ``q . g + offset_g``.

    Equal sums that are added up in another order differ by a few steps of the last digit of their terms.

    Args:
        query_lengths: ``(B,)`` lengths of ``q``.
        gallery_lengths: ``(G,)`` lengths of ``g``.
        offset_sizes: ``(G,)`` absolute offsets.
    """

    query_lengths: np.ndarray
    gallery_lengths: np.ndarray
    offset_sizes: np.ndarray

    def slack(self, row: int, places: np.ndarray) -> np.ndarray:
        """Return it for the similarities of one query to the gallery images at ``places``, ``(M,)``."""
        terms = self.query_lengths[row] * self.gallery_lengths[places] + self.offset_sizes[places]
        return 8 * np.finfo(terms.dtype).eps * terms

    def proves_finite(self) -> bool:
        """Tell whether every similarity is finite because none can be larger than the product of the lengths."""
        lengths = (self.query_lengths, self.gallery_lengths, self.offset_sizes)
        query, gallery, offset = (float(length.max(initial=0)) for length in lengths)
        return query * gallery + offset < np.finfo(self.gallery_lengths.dtype).max / 2  # not with NaN


class IdentityIndex:
    """Find the gallery images of an identity without going through the gallery for each query.

    Args:
        pids: ``(G,)`` identities of the gallery, of any type that can be sorted.
        camids: ``(G,)`` cameras of the gallery.
    """

    def __init__(self, pids: np.ndarray, camids: np.ndarray) -> None:
        self._camids = np.asarray(camids)
        order = np.argsort(pids, kind="stable")  # (G,)
        names, starts = np.unique(np.asarray(pids)[order], return_index=True)
        self._places = dict(zip(names.tolist(), np.split(order, starts)[1:], strict=True))

    def lookup(self, pid: object, camid: object) -> tuple[np.ndarray, np.ndarray]:
        """Return where the true matches and where the junk of a query are.

        Args:
            pid: the query's identity.
            camid: the query's camera. A gallery image of the same identity *and* camera is junk.

        Returns:
            Two int64 arrays of gallery positions, ``(M,)`` and ``(J,)``.
        """
        same = self._places.get(pid)
        if same is None:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing
        is_junk = self._camids[same] == camid
        return same[~is_junk], same[is_junk]


def rank_rows(
    similarity: Iterable[np.ndarray],
    q_pids: np.ndarray,
    q_camids: np.ndarray,
    index: IdentityIndex,
    *,
    first_query: int = 0,
    rounding: Rounding | None = None,
    on_row: Callable[[int, np.ndarray, np.ndarray | float, np.ndarray, int], None] | None = None,
) -> list[np.ndarray]:
    """Rank the true matches of several queries; see :func:`match_ranks`.

    Args:
        similarity: ``(B, G)`` float, or B rows ``(G,)`` one after the other; higher is closer. What they say of images
            of the query's identity is overwritten.
        q_pids: ``(B,)`` identities of the queries.
        q_camids: ``(B,)`` cameras of the queries.
        index: of the G gallery images.
        first_query: number of the first row, for the message of an error.
        rounding: how far apart equal similarities may be; ``None``: only equal ones count as ties.
        on_row: is called for each query, after it is ranked, with its number, the similarities of its true matches
            ``(M,)`` (a copy), how far rounding may have moved them, the row ``(G,)`` with minus infinity at all images
            of its identity, and the number of these. It may overwrite both arrays.

    Returns:
        For each row ``(M,)`` int64 ranks in ascending order, 1-based; empty if the query has no match.

    Raises:
        ValueError: if a similarity is NaN or infinite; the message says how many are, and of which query.
    """
    ranks = []
    must_look = rounding is None or not rounding.proves_finite()
    queries = zip(similarity, np.asarray(q_pids).tolist(), np.asarray(q_camids).tolist(), strict=True)
    for number, (row, pid, camid) in enumerate(queries, start=first_query):
        if must_look:
            _require_finite(row, f"the similarity of query {number} to the gallery")
        matches, junk = index.lookup(pid, camid)
        slack = 0.0 if rounding is None else rounding.slack(number - first_query, matches)
        genuine = None if on_row is None else row[matches]
        ranks.append(_count_ranks(row, matches, junk, slack))
        if on_row is not None:
            on_row(number, genuine, slack, row, matches.size + junk.size)
    return ranks


def evaluate_rank(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int = 50,
    use_metric_cuhk03: bool = False,
    use_cython: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate a matrix of distances.

    Args:
        distmat: ``(Q, G)`` finite distances, lower is closer.
        q_pids: ``(Q,)`` identities of the queries.
        g_pids: ``(G,)`` identities of the gallery.
        q_camids: ``(Q,)`` cameras of the queries.
        g_camids: ``(G,)`` cameras of the gallery; same identity and same camera as the query: left out.
        max_rank: length of the CMC curve, at least 1; the gallery may be smaller.
        use_metric_cuhk03: True: CMC by :func:`eval_cuhk03`; False: by :func:`eval_market1501`.
        use_cython: accepted for old callers; there is one implementation.

    Returns:
        The CMC curve ``(max_rank,)``, the average precision ``(V,)`` and the inverse negative penalty ``(V,)`` of the V
        queries that have a true match, float64 in [0, 1]. The other queries are left out, with a warning.

    Raises:
        ValueError: if shapes do not fit, or a distance is NaN or infinite (the message names the query).
    """
    return evaluate_py(distmat, q_pids, g_pids, q_camids, g_camids, max_rank, use_metric_cuhk03)


def evaluate_py(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int,
    use_metric_cuhk03: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate a matrix of distances; :func:`evaluate_rank` with all arguments given."""
    protocol = eval_cuhk03 if use_metric_cuhk03 else eval_market1501
    return protocol(distmat, q_pids, g_pids, q_camids, g_camids, max_rank)


def eval_market1501(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate by the protocol of Market-1501: every gallery image counts; see :func:`evaluate_rank`.

    Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015.
    """
    distances = check_matrix(distmat, q_pids, g_pids, q_camids, g_camids)
    ranks = rank_rows((-row for row in distances), q_pids, q_camids, IdentityIndex(g_pids, g_camids))
    warn_unmatched(ranks)
    return (cmc(ranks, max_rank), *_rates(ranks))


def eval_cuhk03(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int,
    *,
    repeats: int = 10,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluate by the single-gallery-shot protocol of CUHK03; see :func:`evaluate_rank`.

    The CMC curve is that of galleries with one random image of each identity, averaged over ``repeats`` (at least 1)
    draws for each query, see :class:`~.cuhk03.SingleShot`; the same ``seed`` (>= 0) gives the same draws. Average
    precision and inverse negative penalty are those of the whole gallery.

    Source: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014.
    """
    distances = check_matrix(distmat, q_pids, g_pids, q_camids, g_camids)
    single_shot = SingleShot(np.asarray(g_pids), draws=repeats, seed=seed)
    ranks = rank_rows(
        (-row for row in distances),
        q_pids,
        q_camids,
        IdentityIndex(g_pids, g_camids),
        on_row=lambda number, genuine, slack, row, own: single_shot.add(number, genuine, genuine - slack, row, own),
    )
    warn_unmatched(ranks)
    drawn = [rank[None] for own in single_shot.ranks.values() for rank in own]
    return (cmc(drawn, max_rank), *_rates(ranks))


def _rates(ranks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    valid = [r for r in ranks if len(r)]
    precision = np.array([average_precision(r) for r in valid], dtype=np.float64)
    penalty = np.array([inverse_negative_penalty(r) for r in valid], dtype=np.float64)
    return precision, penalty


def check_matrix(
    distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray
) -> np.ndarray:
    """Return a matrix of distances ``(Q, G)`` as a float array, if its shape is that of the labels.

    Raises:
        ValueError: if it is not.
    """
    wanted = (len(q_pids), len(g_pids))
    if np.shape(distmat) != wanted or (len(q_camids), len(g_camids)) != wanted:
        raise ValueError(
            f"distmat must be (queries, gallery) like the labels, got distmat {np.shape(distmat)}, "
            f"pids {wanted} and camids {(len(q_camids), len(g_camids))}"
        )
    distances = np.asarray(distmat)
    return distances if np.issubdtype(distances.dtype, np.floating) else distances.astype(np.float64)
