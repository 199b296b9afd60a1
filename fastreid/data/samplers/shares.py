"""How large a part of the batches each of several data sets gets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["deal_places", "most_places", "set_shares", "share_edges"]

_UNIT = 32  # one place is 2**32: integers, so that nothing is rounded differently elsewhere
_STEP = 0x9E3779B1  # the golden ratio of 2**32: multiples of it fill the circle evenly, however many there are


def set_shares(mode: str, sizes: Sequence[int], power: float) -> np.ndarray:
    """Return the share of each set in the batches, ``(S,)`` float64 with the sum 1.

    Args:
        mode: ``equal``, ``proportional`` (to ``n``), or ``tempered`` (to ``n ** power``).
        sizes: ``n``, the number of training images of each set, at least 1.
        power: of ``tempered``: from 0, equal, to 1, proportional.

    Raises:
        ValueError: if ``mode`` is none of these, or ``power`` is out of range.

    Example:
        >>> set_shares("tempered", [100, 900], power=0.5)
        array([0.25, 0.75])
    """
    powers = {"equal": 0.0, "proportional": 1.0, "tempered": power}
    if mode not in powers:
        raise ValueError(f"DATASETS.SHARES must be empty (one pool), or one of {', '.join(powers)}; got {mode!r}")
    if not 0 <= power <= 1:
        raise ValueError(f"DATASETS.SHARES_POWER must be from 0 (equal) to 1 (proportional), got {power}")
    weights = np.asarray(sizes, dtype=np.float64) ** powers[mode]
    return weights / weights.sum()


def share_edges(shares: np.ndarray, places: int) -> np.ndarray:
    """Lay the shares of a batch of ``places`` end to end; return the ``(S + 1,)`` edges, int64 in 2**-32 places."""
    edges = np.rint(np.append(0, np.cumsum(shares)) * places * 2**_UNIT).astype(np.int64)
    edges[-1] = places << _UNIT
    return edges


def deal_places(edges: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Say how many places each set gets in the given batches, ``(B, S)`` int64; each row sums to the places.

    A comb with one tooth per place lies over the shares and is shifted a little for each batch. So a set gets its exact
    part of a batch rounded down or up, and its share in the long run, whichever batch is looked at first.

    Args:
        edges: from ``share_edges``.
        batches: ``(B,)`` int64, their numbers from 0.

    Example:
        >>> deal_places(share_edges(np.array([0.375, 0.625]), places=4), np.arange(4)).tolist()
        [[2, 2], [1, 3], [2, 2], [1, 3]]
    """
    shift = batches * _STEP % 2**_UNIT  # (B,)
    return np.diff(-((shift[:, None] - edges) >> _UNIT), axis=1)


def most_places(edges: np.ndarray) -> list[int]:
    """Return the most places that each set may get in a batch."""
    return (-(-np.diff(edges) >> _UNIT)).tolist()
