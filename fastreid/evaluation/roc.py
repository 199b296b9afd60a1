"""Verification: how well one threshold for all pairs tells genuine pairs from impostors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pair_scores import PairTable
from .rank import IdentityIndex, _require_finite, check_matrix

__all__ = [
    "RocCurve",
    "area_under_curve",
    "equal_error_rate",
    "evaluate_roc",
    "evaluate_roc_py",
    "operating_point",
    "roc_of_scores",
    "roc_of_table",
]


def evaluate_roc(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    use_cython: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels of all pairs, as ``sklearn.metrics.roc_curve(labels, scores)`` takes them.

    For a matrix that is there already; an evaluation counts the pairs block by block, see ``PairScores``.

    Args:
        distmat: ``(Q, G)`` finite distances, lower is closer.
        q_pids: ``(Q,)`` identities of the queries.
        g_pids: ``(G,)`` identities of the gallery.
        q_camids: ``(Q,)`` cameras of the queries.
        g_camids: ``(G,)`` cameras of the gallery; a pair of the same identity and the same camera is left out.
        use_cython: accepted for old callers; there is one implementation.

    Returns:
        ``scores`` ``(P,)`` float: minus the distances, so that higher is closer; ``labels`` ``(P,)`` int64: 1 for a
        genuine pair (the same identity), 0 for an impostor pair. The pairs of a query follow each other in the order of
        the gallery.

    Raises:
        ValueError: if shapes do not fit, or a distance is NaN or infinite (the message names the query).
    """
    return evaluate_roc_py(distmat, q_pids, g_pids, q_camids, g_camids)


def evaluate_roc_py(
    distmat: np.ndarray, q_pids: np.ndarray, g_pids: np.ndarray, q_camids: np.ndarray, g_camids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels of all pairs; see :func:`evaluate_roc`."""
    distances = check_matrix(distmat, q_pids, g_pids, q_camids, g_camids)
    index = IdentityIndex(g_pids, g_camids)
    scores, labels = [np.empty(0, dtype=distances.dtype)], [np.empty(0, dtype=np.int64)]
    queries = zip(distances, np.asarray(q_pids).tolist(), np.asarray(q_camids).tolist(), strict=True)
    for number, (row, pid, camid) in enumerate(queries):
        _require_finite(row, f"the distance of query {number} to the gallery")
        matches, junk = index.lookup(pid, camid)
        is_genuine = np.zeros(row.size, dtype=np.int64)
        is_genuine[matches] = 1
        scores.append(-np.delete(row, junk))
        labels.append(np.delete(is_genuine, junk))
    return np.concatenate(scores), np.concatenate(labels)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The corners of a receiver operating characteristic, from the strictest threshold to the laxest.

    Args:
        thresholds: ``(T,)`` float, falling; a pair is accepted if its score is at least the threshold.
        false_positives: ``(T,)`` int64, impostor pairs that are accepted.
        true_positives: ``(T,)`` int64, genuine pairs that are accepted.
        impostors: number of impostor pairs.
        genuine: number of genuine pairs.
    """

    thresholds: np.ndarray
    false_positives: np.ndarray
    true_positives: np.ndarray
    impostors: int
    genuine: int


def roc_of_scores(genuine: np.ndarray, impostors: np.ndarray) -> RocCurve:
    """Return the curve of all scores ``(P,)`` and ``(N,)``, with a corner at each different one."""
    thresholds, false, true = _corners(genuine, impostors)
    return RocCurve(thresholds, false, true, impostors.size, genuine.size)


def roc_of_table(table: PairTable) -> RocCurve:
    """Return the curve of what was kept of all pairs.

    It is exact as far as impostor scores were kept. Below, a corner is the lower edge of a bin, and scores in one bin
    count as equal.
    """
    total = int(table.impostors.sum())
    if table.top.size == total:
        return roc_of_scores(table.genuine, table.top)
    bound = table.top[-1]  # there may be more impostors with this very score
    above, low = table.top[table.top > bound], table.genuine[table.genuine <= bound]
    thresholds, false, true = _corners(table.genuine[table.genuine > bound], above)
    rest = table.counts - _counted(table, above)
    low_counts = _counted(table, low)
    bins = np.flatnonzero((rest > 0) | (low_counts > 0))[::-1]
    edges = np.minimum(table.scale.edges(bins), bound)
    return RocCurve(
        np.concatenate([thresholds, edges]),
        np.concatenate([false, above.size + np.cumsum(rest[bins])]),
        np.concatenate([true, table.genuine.size - low.size + np.cumsum(low_counts[bins])]),
        total,
        table.genuine.size,
    )


def _counted(table: PairTable, scores: np.ndarray) -> np.ndarray:
    return np.bincount(table.scale.bins(scores), minlength=table.counts.size)


def _corners(genuine: np.ndarray, impostors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    genuine, impostors = np.sort(genuine), np.sort(impostors)
    thresholds = np.unique(np.concatenate([genuine, impostors]))[::-1]
    false, true = (scores.size - np.searchsorted(scores, thresholds) for scores in (impostors, genuine))
    return thresholds, false, true


def operating_point(
    positives: np.ndarray, negatives: np.ndarray, num_negatives: int, rate: float
) -> tuple[float, float] | None:
    """Return the highest true positive rate at a false positive rate that is not above ``rate``, and its threshold.

    Args:
        positives: ``(P,)`` scores that should be accepted; minus infinity: never.
        negatives: ``(K,)`` scores that should not, highest first; lower ones than those may be missing.
        num_negatives: number of all, at least K.
        rate: wanted, in [0, 1).

    Returns:
        The true positive rate in [0, 1], and a threshold that gives it: accept a score that is at least as high. It
        lies halfway between the highest score that must be refused and the next one. ``None`` if one kind of scores is
        missing.

    Raises:
        ValueError: if ``rate`` is out of its range, or ``negatives`` does not reach far enough.

    Example:
        >>> operating_point(np.array([0.9, 0.7]), np.array([0.8, 0.5, 0.5, 0.1]), 4, 0.25)
        (1.0, 0.6)
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be in [0, 1), got {rate}")
    if positives.size == 0 or num_negatives == 0:
        return None
    allowed = _allowed(rate, num_negatives)
    if allowed >= negatives.size:
        raise ValueError(
            f"a rate of {rate} of {num_negatives} negatives is {allowed}, but only {negatives.size} scores were kept"
        )
    refused = negatives[allowed]
    accepted = positives[positives > refused]
    higher = min(accepted.min(initial=np.inf), negatives[negatives > refused].min(initial=np.inf))
    return accepted.size / positives.size, _between(refused, higher)


def _between(refused: np.floating, accepted: float) -> float:
    """Return a threshold halfway between two scores; it is one that their precision can express."""
    number = refused.dtype.type
    if not np.isfinite(accepted) or not np.isfinite(refused):
        return float(np.nextafter(refused, number(np.inf)))
    middle = number(float(refused) / 2 + float(accepted) / 2)
    return float(middle if middle > refused else accepted)


def _allowed(rate: float, total: int) -> int:
    """Return the largest number whose share of ``total`` is not above ``rate``, as floats say it."""
    count = int(rate * total)
    while (count + 1) / total <= rate:
        count += 1
    while count / total > rate:
        count -= 1
    return count


def area_under_curve(curve: RocCurve) -> float | None:
    """Return the share of (genuine, impostor) pairs of pairs in which the genuine one scores higher; ties count half.

    Returns:
        A number in [0, 1]; ``None`` if one kind of pairs is missing.
    """
    if not curve.impostors or not curve.genuine:
        return None
    false, true = np.append(0, curve.false_positives), np.append(0, curve.true_positives)
    area = np.dot(np.diff(false).astype(np.float64), (true[1:] + true[:-1]) / 2)
    return float(area / (float(curve.impostors) * curve.genuine))


def equal_error_rate(curve: RocCurve) -> tuple[float, float] | None:
    """Return where the curve has as many false positives as false negatives, in shares of their kind.

    Between two corners the curve is a straight line.

    Returns:
        The rate, in [0, 1], and the threshold of the first corner that does not lie before it; ``None`` if one kind of
        pairs is missing.
    """
    if not curve.impostors or not curve.genuine:
        return None
    false = np.append(0, curve.false_positives) / curve.impostors
    missed = 1 - np.append(0, curve.true_positives) / curve.genuine
    gap = false - missed  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(false[after - 1] + share * (false[after] - false[after - 1])), float(curve.thresholds[after - 1])
