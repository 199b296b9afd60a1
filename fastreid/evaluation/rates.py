"""Rates of a retrieval benchmark as functions of the ranks of the true matches alone."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

__all__ = [
    "average_precision",
    "cmc",
    "inverse_negative_penalty",
    "rates_by_query",
    "summarize",
    "warn_unmatched",
]

logger = logging.getLogger(__name__)


def average_precision(ranks: np.ndarray) -> float:
    """Average the precision at each true match of one query.

    ``mean_i i / rank_i``, without interpolation, over all matches.

    Args:
        ranks: ``(M,)`` ranks in ascending order, 1-based, M >= 1.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: if there is no match; the average is not defined then.

    Example:
        >>> average_precision(np.array([1, 4]))
        0.75
    """
    _require_match(ranks)
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def inverse_negative_penalty(ranks: np.ndarray) -> float:
    """Compare the rank of the hardest true match of one query with the best it could be.

    ``M / rank_M``: 1 if all matches come first, small if one of them is found late.

    Source: Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook",
    TPAMI 2021, arXiv:2001.04193, "mINP".

    Args:
        ranks: ``(M,)`` ranks in ascending order, 1-based, M >= 1.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: if there is no match; the penalty is not defined then.

    Example:
        >>> inverse_negative_penalty(np.array([1, 4]))
        0.5
    """
    _require_match(ranks)
    return float(len(ranks) / ranks[-1])


def _require_match(ranks: np.ndarray) -> None:
    if len(ranks) == 0:
        raise ValueError("ranks is empty: a query without a true match has no rates; leave it out")


def cmc(ranks: Sequence[np.ndarray], max_rank: int = 50) -> np.ndarray:
    """Return the cumulative match characteristic.

    Entry ``k - 1`` is the share of queries that have a true match at rank ``k`` or better. It is defined for any ``k``,
    also beyond the size of the gallery.

    Args:
        ranks: for each query ``(M,)`` ranks in ascending order, 1-based; queries with none are left out.
        max_rank: length of the curve, at least 1.

    Returns:
        ``(max_rank,)`` float64 in [0, 1]; zeros if no query has a match.

    Raises:
        ValueError: if ``max_rank`` is less than 1.

    Example:
        >>> cmc([np.array([1, 4]), np.array([3])], max_rank=4)
        array([0.5, 0.5, 1. , 1. ])
    """
    if max_rank < 1:
        raise ValueError(f"max_rank must be at least 1, got {max_rank}")
    first = np.array([r[0] for r in ranks if len(r)], dtype=np.int64)  # (V,)
    if first.size == 0:
        return np.zeros(max_rank)
    hits = np.bincount(first[first <= max_rank] - 1, minlength=max_rank)  # (max_rank,)
    return np.cumsum(hits) / first.size


def summarize(ranks: Sequence[np.ndarray], topk: Sequence[int] = (1, 5, 10)) -> OrderedDict[str, float]:
    """Turn ranks into the results of a retrieval benchmark.

    Args:
        ranks: for each query ``(M,)`` ranks in ascending order, 1-based; queries with none are left out.
        topk: the k of the reported CMC values, each at least 1.

    Returns:
        ``Rank-k`` for each k, ``mAP``, ``mINP`` and ``metric`` (the mean of mAP and Rank-1), in this order, in percent;
        0.0 throughout if no query has a match.

    Raises:
        ValueError: if ``topk`` has a value below 1.
    """
    if min(topk, default=1) < 1:
        raise ValueError(f"topk must hold ranks of at least 1, got {tuple(topk)}")
    curve = cmc(ranks, max_rank=max((1, *topk)))
    numbers = rates_by_query(ranks, topk=())
    has_match = ~np.isnan(numbers["mAP"])
    means = {name: float(of_all[has_match].mean()) if has_match.any() else 0.0 for name, of_all in numbers.items()}
    results = OrderedDict((f"Rank-{k}", 100 * float(curve[k - 1])) for k in topk)
    results["mAP"] = 100 * means["mAP"]
    results["mINP"] = 100 * means["mINP"]
    results["metric"] = 100 * (means["mAP"] + float(curve[0])) / 2
    return results


def rates_by_query(ranks: Sequence[np.ndarray], topk: Sequence[int] = (1, 5, 10)) -> dict[str, np.ndarray]:
    """Return the numbers of which :func:`summarize` gives the means, for each query.

    Args:
        ranks: for each of Q queries ``(M,)`` ranks in ascending order, 1-based.
        topk: the k of the CMC values.

    Returns:
        By the names of :func:`summarize`, ``(Q,)`` float64 in [0, 1]; NaN for a query without a match.
    """
    counts = np.array([len(r) for r in ranks], dtype=np.int64)  # (Q,)
    has_match = counts > 0
    starts = np.cumsum(counts[has_match]) - counts[has_match]
    values = np.concatenate([*ranks, np.empty(0, dtype=np.int64)])  # (sum of all M,)
    place = np.arange(values.size) - np.repeat(starts, counts[has_match]) + 1
    first, precision, penalty = np.full((3, len(ranks)), np.nan)
    if values.size:
        first[has_match] = values[starts]
        precision[has_match] = np.add.reduceat(place / values, starts) / counts[has_match]
        penalty[has_match] = counts[has_match] / values[starts + counts[has_match] - 1]
    numbers = {f"Rank-{k}": np.where(has_match, first <= k, np.nan) for k in topk}
    numbers |= {"mAP": precision, "mINP": penalty}
    numbers["metric"] = (numbers["mAP"] + (first <= 1)) / 2
    return numbers


def warn_unmatched(ranks: Sequence[np.ndarray]) -> int:
    """Log a warning if queries have no true match, and return how many have none."""
    missing = sum(len(r) == 0 for r in ranks)
    if missing == len(ranks):
        logger.warning(
            "None of %d queries has a true match in the gallery: the rates are undefined, reported as 0", missing
        )
    elif missing:
        logger.warning(
            "%d of %d queries have no true match in the gallery; the rates leave them out", missing, len(ranks)
        )
    return missing
