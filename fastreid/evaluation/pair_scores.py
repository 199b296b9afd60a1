"""Keep of the scores of all pairs what verification and open-set rates need, without keeping all pairs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

__all__ = ["BINS", "PairScores", "PairTable", "ScoreScale", "bytes_to_keep", "scores_to_keep"]

BINS = 1 << 20
"""Bins that the scores of impostor pairs are counted in; half of them lie where most scores are."""

_PIECE = 1 << 15  # scores at a time: what is made of them stays in the processor's cache
_PENDING = 1 << 21  # bins that are counted at once
_KEPT_AT_LEAST = 1 << 20


@dataclass(frozen=True)
class ScoreScale:
    """A monotonic map of all real scores to :data:`BINS` bins, ``v = (score - centre) / width``, ``v / (1 + |v|)``.

    Scores within ``width`` of ``centre`` have half of the bins, evenly. Equal scores share a bin.

    Args:
        centre: in units of the score.
        width: in units of the score, > 0.
    """

    centre: float
    width: float

    @classmethod
    def of_sample(cls, scores: np.ndarray) -> ScoreScale:
        """Fit the scale to scores ``(N,)``, of which a hundredth on either side may be outliers."""
        if scores.size == 0:
            return cls(0.0, 1.0)
        low, middle, high = (float(value) for value in np.quantile(scores.astype(np.float64), (0.01, 0.5, 0.99)))
        return cls(middle, max(high - low, 1e-6 * abs(middle), 1e-12))

    def bins(self, scores: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the bins of scores ``(N,)`` of any float type, minus infinity included, as int64 ``(N,)``.

        Args:
            scores: they are not changed.
            out: int64 ``(N,)``, where to write the bins; ``None``: into new memory.
        """
        value = scores - scores.dtype.type(self.centre)
        value *= scores.dtype.type(1 / self.width)
        half = BINS // 2
        size = np.abs(value)
        size += 1
        np.divide(half, size, out=size)
        np.subtract(half, size, out=size)  # half * |v| / (1 + |v|), in steps that each keep the order
        np.copysign(size, value, out=size)
        size += half
        np.minimum(size, BINS - 1, out=size)
        out = np.empty(scores.shape, dtype=np.int64) if out is None else out
        out[...] = size
        return out

    def edges(self, bins: np.ndarray) -> np.ndarray:
        """Return the lower edges of bins ``(N,)``, as float64 ``(N,)``; that of bin 0 is minus infinity."""
        share = np.asarray(bins, dtype=np.float64) / (BINS // 2) - 1
        with np.errstate(divide="ignore"):
            return self.centre + self.width * share / (1 - np.abs(share))

    def middles(self, bins: np.ndarray) -> np.ndarray:
        """Return scores in the middle of bins ``(N,)``, as float64 ``(N,)``, all finite."""
        share = (np.asarray(bins, dtype=np.float64) + 0.5) / (BINS // 2) - 1
        return self.centre + self.width * share / (1 - np.abs(share))


def scores_to_keep(impostors: int, rate: float = 1e-2) -> int:
    """Return how many of the highest impostor scores tell all rates exactly up to a false positive rate.

    Args:
        impostors: number of impostor pairs.
        rate: in [0, 1]. A quarter more is kept, for what bootstrapping finds behind it, and never less than a million.
    """
    return min(impostors, max(_KEPT_AT_LEAST, int(1.25 * rate * impostors) + 2))


def bytes_to_keep(keep: int) -> int:
    """Return how many bytes :class:`PairScores` takes at most, with what is made of it: 32 a kept score, and 40 MB."""
    return 32 * keep + 40_000_000


@dataclass(frozen=True, eq=False)
class PairTable:
    """What :class:`PairScores` kept of the pairs of Q queries.

    Args:
        scale: of the bins.
        genuine: ``(P,)`` scores of all genuine pairs, ordered by query.
        genuine_query: ``(P,)`` int64, their queries.
        top: ``(K,)`` the highest scores of impostor pairs, highest first.
        top_query: ``(K,)`` int64, their queries.
        counts: ``(BINS,)`` int64, impostor pairs in each bin.
        impostors: ``(Q,)`` int64, impostor pairs of each query.
        best_match: ``(Q,)`` the highest score of a true match; minus infinity: there is none.
        best_other: ``(Q,)`` the highest score of another identity, those held out left out.
        is_right: ``(Q,)`` bool, the best match is ahead of all others; a tie, also one up to rounding, is not.
    """

    scale: ScoreScale
    genuine: np.ndarray
    genuine_query: np.ndarray
    top: np.ndarray
    top_query: np.ndarray
    counts: np.ndarray
    impostors: np.ndarray
    best_match: np.ndarray
    best_other: np.ndarray
    is_right: np.ndarray


class PairScores:
    """Take in the scores of one query after the other, as a ``consumer`` of ``rank_matches``.

    Genuine pairs are few and all kept. Of impostor pairs the highest ``keep`` are, and all are counted in bins. Memory:
    :func:`bytes_to_keep`; time: a few passes over the scores.

    Args:
        num_query: number of all queries, Q.
        scale: of the bins.
        keep: see :func:`scores_to_keep`.
        held_out: places in the gallery that ``best_other`` does not see, ``(H,)`` int64.
        dtype: of the scores.
    """

    def __init__(
        self,
        num_query: int,
        *,
        scale: ScoreScale,
        keep: int,
        held_out: Collection[int] | np.ndarray = (),
        dtype: np.dtype | type = np.float32,
    ) -> None:
        self._scale, self._keep = scale, keep
        self._held_out = np.sort(np.asarray(held_out, dtype=np.int64))
        self._genuine: list[np.ndarray] = [np.empty(0, dtype=dtype)]
        self._genuine_query: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
        room = keep + keep // 2 + _PIECE  # the more, the less often all of it is looked through
        self._top, self._top_query = np.empty(room, dtype=dtype), np.empty(room, dtype=np.int32)
        self._filled, self._bound = 0, dtype(-np.inf) if isinstance(dtype, type) else dtype.type(-np.inf)
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._pending, self._waiting = np.empty(_PENDING, dtype=np.int64), 0
        self._impostors = np.zeros(num_query, dtype=np.int64)
        self._best_match, self._best_other, self._cautious = (
            np.full(num_query, -np.inf, dtype=dtype) for _ in range(3)
        )

    def add(
        self,
        query: int,
        genuine: np.ndarray,
        cautious: np.ndarray,
        others: np.ndarray,
        own: int,
        start: int = 0,
    ) -> None:
        """Take in the scores of one query, or of a part of its gallery; see :class:`~.rank_blocks.ScoreConsumer`."""
        if genuine.size:
            self._genuine.append(genuine)
            self._genuine_query.append(np.full(genuine.size, query))
        self._impostors[query] += others.size - own
        for first in range(0, others.size, _PIECE):
            piece = others[first : first + _PIECE]
            self._count(piece)
            self._keep_top(query, piece)
        self._counts[0] -= own  # minus infinity is in the lowest bin
        here = np.searchsorted(self._held_out, (start, start + others.size))
        others[self._held_out[slice(*here)] - start] = -np.inf
        self._best_match[query] = genuine.max(initial=self._best_match[query])
        self._best_other[query] = others.max(initial=self._best_other[query])
        self._cautious[query] = cautious.max(initial=self._cautious[query])

    def table(self) -> PairTable:
        """Return what was kept."""
        self._count_pending()
        if self._filled > self._keep:
            self._compact()
        order = np.argsort(-self._top[: self._filled])
        return PairTable(
            self._scale,
            np.concatenate(self._genuine),
            np.concatenate(self._genuine_query),
            self._top[order],
            self._top_query[order].astype(np.int64),
            self._counts,
            self._impostors,
            self._best_match,
            self._best_other,
            self._cautious > self._best_other,
        )

    def _count(self, piece: np.ndarray) -> None:
        if self._waiting + piece.size > _PENDING:
            self._count_pending()
        self._scale.bins(piece, out=self._pending[self._waiting : self._waiting + piece.size])
        self._waiting += piece.size

    def _count_pending(self) -> None:
        self._counts += np.bincount(self._pending[: self._waiting], minlength=BINS)
        self._waiting = 0

    def _keep_top(self, query: int, piece: np.ndarray) -> None:
        high = piece[piece > self._bound]
        if self._filled + high.size > self._top.size:
            self._compact()
            high = high[high > self._bound]
        place = slice(self._filled, self._filled + high.size)
        self._top[place], self._top_query[place] = high, query
        self._filled += high.size

    def _compact(self) -> None:
        """Forget all but the ``keep`` highest; what is no higher than the lowest of them will never be among them."""
        if self._filled <= self._keep:
            return
        values = self._top[: self._filled]
        self._bound = np.partition(values, self._filled - self._keep)[self._filled - self._keep]
        stays = values > self._bound
        ties = np.flatnonzero(values == self._bound)
        stays[ties[: self._keep - np.count_nonzero(stays)]] = True
        for array in (self._top, self._top_query):
            array[: self._keep] = array[: self._filled][stays]
        self._filled = self._keep
