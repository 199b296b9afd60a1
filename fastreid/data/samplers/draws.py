"""Random draws for many identities at a time: no Python loop over identities or images."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np

__all__ = ["draw_in_turn", "draw_rows", "number_labels", "shuffle_within"]


def number_labels(labels: Iterable[Hashable]) -> np.ndarray:
    """Number labels from 0 without gaps, ``(N,)`` int64: ints by size, other labels by first appearance.

    Example:
        >>> number_labels([7, 3, 7]), number_labels(["b", "a", "b"])
        (array([1, 0, 1]), array([0, 1, 0]))
    """
    labels = list(labels)
    values = np.array(labels) if set(map(type, labels)) == {int} else None  # (N,)
    if values is not None and values.dtype == np.int64:  # it is not where a label does not fit
        lowest, highest = int(values.min()), int(values.max())
        if highest - lowest < 8 * len(values):  # a table of all values is faster than sorting, and than a dict
            values = (values - lowest).astype(np.int64)
            return np.cumsum(np.bincount(values) > 0)[values] - 1
        return np.unique(values, return_inverse=True)[1]
    numbers: dict[Hashable, int] = defaultdict(itertools.count().__next__)
    return np.fromiter(map(numbers.__getitem__, labels), dtype=np.int64)


def shuffle_within(segments: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the places ``0 .. N - 1`` sorted by their segment, in random order within each, ``(N,)`` int64.

    Args:
        segments: ``(N,)`` int64, at least 0 and with ``N * segments.max()`` below 2**63, in any order.
        rng: the source of randomness.

    Example:
        >>> shuffle_within(np.array([1, 0, 1, 0]), np.random.default_rng(0)).tolist()
        [1, 3, 2, 0]
    """
    size = len(segments)
    shuffled = rng.permutation(size)  # (N,)
    # Sorting unique numbers is faster than a stable argsort, and any kind of sort gives the same.
    keys = segments[shuffled] * size + np.arange(size)  # (N,)
    keys.sort()
    return shuffled[keys % max(size, 1)]


def draw_in_turn(
    first: np.ndarray, last: np.ndarray, rng: np.random.Generator, *, distinct: np.ndarray | bool = True
) -> np.ndarray:
    """Draw a number from ``first`` to ``last`` at each step of each row; one that the row has already becomes ``last``.

    Over steps with the same ``first``, whose ``last`` grows by one from step to step, each set of numbers up to the
    largest ``last`` is equally likely.

    Source: Bentley and Floyd, "Programming Pearls: A Sample of Brilliance", Communications of the ACM 30(9), 1987.

    Args:
        first: ``(K, R)`` int64.
        last: ``(K, R)`` int64, at least ``first``.
        rng: the source of randomness.
        distinct: ``(R,)`` bool; in the other rows numbers may come again.

    Returns:
        ``(K, R)`` int64.
    """
    chosen = np.empty_like(last)
    for step in range(len(last)):
        span = last[step] - first[step] + 1  # (R,)
        drawn = first[step] + (rng.random(len(span)) * span).astype(np.int64)  # (R,)
        again = (chosen[:step] == drawn).any(axis=0) & distinct  # (R,)
        chosen[step] = np.where(again, last[step], drawn)
    return chosen


def draw_rows(sizes: np.ndarray, count: int, rng: np.random.Generator, *, distinct: np.ndarray) -> np.ndarray:
    """Draw ``count`` numbers below ``sizes[r]`` for each row ``r``, ``(R, count)`` int64.

    The rows in ``distinct`` get each number at most once (every set of numbers is equally likely), the others draw with
    replacement.

    Args:
        sizes: ``(R,)`` int64, at least 1; at least ``count`` in the rows without replacement.
        count: at least 0.
        rng: the source of randomness.
        distinct: ``(R,)`` bool.
    """
    last = np.where(distinct, sizes - count + np.arange(count)[:, None], sizes - 1)  # (count, R)
    return draw_in_turn(np.zeros_like(last), last, rng, distinct=distinct).T
