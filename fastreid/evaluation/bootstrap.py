"""How sure a number of a benchmark is: confidence intervals from resampled query identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["IdentityBootstrap"]

_GRID = 256  # thresholds that are tried around a wanted rate
_VALUES = 1 << 21  # numbers of one table, at most


class IdentityBootstrap:
    """Draw as many query identities as there are, with replacement, again and again.

    Images of one identity are alike: what is drawn are identities, each with all its queries. The intervals say what
    other people (vehicles, animals) in front of the same cameras might have given; the gallery stays.

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13, percentile intervals.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        resamples: how many draws, >= 1.
        confidence: of the intervals, in (0, 1).
        seed: the same seed and identities give the same draws.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(self, q_pids: np.ndarray, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> None:
        if resamples < 1:
            raise ValueError(f"resamples must be at least 1, got {resamples}")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be in (0, 1), got {confidence}")
        identities, self._group = np.unique(q_pids, return_inverse=True)
        self._groups, self._resamples, self._seed = identities.size, resamples, seed
        self._bounds = ((1 - confidence) / 2, (1 + confidence) / 2)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the intervals of the means of per-query numbers.

        Args:
            values: ``(Q, K)`` float; a query with NaN is left out of all means.

        Returns:
            ``(K, 2)`` lower and upper bounds; NaN if no mean is defined.
        """
        return self._intervals(self.draw_means(values))

    def draw_means(self, values: np.ndarray) -> np.ndarray:
        """Return the means ``(resamples, K)`` of per-query numbers ``(Q, K)``, a row for each draw.

        Numbers of two models for the same queries, one less the other, give paired differences.
        """
        valid = np.isfinite(values).all(axis=1)
        sums = np.zeros((self._groups, values.shape[1]))
        np.add.at(sums, self._group[valid], values[valid])
        sizes = np.bincount(self._group[valid], minlength=self._groups)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = [weights @ sums / (weights @ sizes)[:, None] for weights in self._draws()]
        return np.concatenate([*drawn, np.empty((0, values.shape[1]))])

    def operating_point(
        self,
        positives: np.ndarray,
        positive_query: np.ndarray,
        negatives: np.ndarray,
        negative_query: np.ndarray,
        num_negatives: np.ndarray,
        rate: float,
    ) -> np.ndarray:
        """Return the intervals of a true positive rate at a wanted false positive rate, and of its threshold's shift.

        A draw's threshold is one of up to 256 scores around the wanted rate; its shift is how much higher it is than
        that of all queries, found in the same way.

        Args:
            positives: ``(P,)`` scores that should be accepted.
            positive_query: ``(P,)`` int64, the query of each.
            negatives: ``(K,)`` scores that should not, highest first; lower ones than those may be missing.
            negative_query: ``(K,)`` int64, the query of each.
            num_negatives: ``(Q,)`` int64, how many negatives each query has, the missing ones included.
            rate: wanted, in [0, 1).

        Returns:
            ``(2, 2)``: lower and upper bound of the rate, then of the shift; NaN if they are not defined.
        """
        if negatives.size == 0 or positives.size == 0:
            return np.full((2, 2), np.nan)
        thresholds = self._grid(negatives, rate * num_negatives.sum())
        accepted = [
            self._accepted(scores, query, thresholds)
            for scores, query in ((negatives, negative_query), (positives, positive_query))
        ]
        totals = np.stack(
            [
                np.bincount(self._group, weights=num_negatives, minlength=self._groups),
                np.bincount(self._group[positive_query], minlength=self._groups),
            ],
            axis=1,
        )  # (I, 2)

        def at_rate(weights: np.ndarray) -> np.ndarray:  # (B, I) -> (B, 2)
            false, true = weights @ accepted[0], weights @ accepted[1]  # (B, T)
            all_false, all_true = (weights @ totals).T  # (B,)
            fits = false <= rate * all_false[:, None] * (1 + 1e-12)
            place = np.maximum(fits.sum(axis=1) - 1, 0)
            with np.errstate(invalid="ignore"):
                found = np.stack([true[np.arange(len(place)), place] / all_true, thresholds[place]], axis=1)
            found[all_false == 0] = np.nan  # without a negative any threshold would do
            return found

        own = [0, at_rate(np.ones((1, self._groups)))[0, 1]]
        with np.errstate(invalid="ignore"):  # thresholds may be minus infinity
            shifts = np.concatenate([*map(at_rate, self._draws()), np.empty((0, 2))]) - own
        return self._intervals(shifts)

    def curve(self, genuine: np.ndarray, impostors: np.ndarray) -> np.ndarray:
        """Return the intervals of how far the area under a ROC curve and the equal error rate move.

        A draw's are less those of all queries, both from the same histograms, so that what the histograms blur does not
        count.

        Args:
            genuine: ``(I, T)`` pairs of each identity, in ascending order of identities, by rising score.
            impostors: ``(I, T)`` likewise.

        Returns:
            ``(2, 2)``: lower and upper bound of the shift of the area, then of that of the rate, in shares; NaN if they
            are not defined.
        """
        tables = [np.asarray(own[:, ::-1], dtype=np.float64) for own in (impostors, genuine)]  # strictest first
        at_a_time = max(1, _VALUES // max(tables[0].shape[1], 1))
        shifts = [
            _area_and_equal_error(*(weights[start : start + at_a_time] @ own for own in tables))
            for weights in self._draws()
            for start in range(0, len(weights), at_a_time)
        ]
        own = _area_and_equal_error(*(table.sum(axis=0, keepdims=True) for table in tables))
        return self._intervals(np.concatenate([*shifts, np.empty((0, 2))]) - own)

    def _grid(self, negatives: np.ndarray, wanted: float) -> np.ndarray:
        """Return falling scores, about as many around the wanted number of negatives above as make sense."""
        most = max(32, min(_GRID, _VALUES // max(self._groups, 1)))
        around = np.geomspace(max(wanted, 1) / 8, max(wanted, 1) * 8, most)
        places = np.unique(np.append(0, np.minimum(around.astype(np.int64), negatives.size - 1)))
        return np.unique(negatives[places])[::-1]

    def _accepted(self, scores: np.ndarray, query: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Count each identity's scores above each threshold, ``(I, T)`` float64."""
        seen = scores > thresholds[-1]
        slot = np.searchsorted(-thresholds, -scores[seen], side="right")  # of the first threshold below the score
        places = self._group[query[seen]] * thresholds.size + slot
        counts = np.bincount(places, minlength=self._groups * thresholds.size)
        return np.cumsum(counts.reshape(self._groups, thresholds.size), axis=1, dtype=np.float64)

    def _draws(self) -> Iterator[np.ndarray]:
        """Yield how often each identity is drawn, ``(B, I)`` float64, for some draws at a time."""
        generator = np.random.default_rng(self._seed)
        if self._groups == 0:
            return
        rows = max(1, _VALUES // self._groups)
        for start in range(0, self._resamples, rows):
            count = min(rows, self._resamples - start)
            drawn = generator.integers(self._groups, size=(count, self._groups))
            drawn += self._groups * np.arange(count)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=count * self._groups)
            yield counts.reshape(count, self._groups).astype(np.float64)

    def _intervals(self, drawn: np.ndarray) -> np.ndarray:
        """Return the bounds ``(K, 2)`` of numbers ``(B, K)``; draws in which one is not defined do not count."""
        bounds: Sequence[np.ndarray] = [
            np.quantile(column[np.isfinite(column)], self._bounds) if np.isfinite(column).any() else np.full(2, np.nan)
            for column in drawn.T
        ]
        return np.stack(bounds) if len(bounds) else np.empty((0, 2))


def _area_and_equal_error(impostors: np.ndarray, genuine: np.ndarray) -> np.ndarray:
    """Return the area under the curve and the equal error rate, ``(B, 2)``, of pairs ``(B, T)``, strictest first."""
    with np.errstate(invalid="ignore", divide="ignore"):
        false, true = (
            np.pad(np.cumsum(own, axis=1) / own.sum(axis=1, keepdims=True), ((0, 0), (1, 0)))
            for own in (impostors, genuine)
        )
        area = (np.diff(false) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
        gap = false + true - 1  # rises from -1 to 1
        after = np.maximum(np.argmax(gap >= 0, axis=1), 1)
        rows = np.arange(len(gap))
        share = -gap[rows, after - 1] / (gap[rows, after] - gap[rows, after - 1])
        equal = false[rows, after - 1] + share * (false[rows, after] - false[rows, after - 1])
    return np.stack([area, equal], axis=1)
