"""How large a block of work may be, so that an evaluation stays within ``TEST.MEMORY_GB``."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

__all__ = ["fit_block", "require_memory"]

_COMFORT_GB = 0.25  # a larger part of a matrix that does not fit as a whole is no faster


def fit_block(
    memory_gb: float,
    bytes_of: Callable[[int, int], int],
    *,
    rows: int,
    columns: int = 1,
    fewest_rows: int = 1,
    fewest_columns: int = 1,
    what: str,
) -> tuple[int, int]:
    """Return how many rows and columns of a matrix are worked on at a time, so that they fit into the memory.

    Columns are given up first: of a matrix that does not fit, all rows stay together with as many columns as fit into a
    quarter of a gigabyte. Rows are given up where the fewest columns do not fit.

    Args:
        memory_gb: in units of 1e9 bytes, > 0.
        bytes_of: what a block of so many rows and columns takes; grows with both.
        rows: there are so many, at least 1.
        columns: there are so many.
        fewest_rows: a block has no fewer, unless there are no more.
        fewest_columns: likewise.
        what: the work, for the error.

    Returns:
        Rows, at least 1, and columns.

    Raises:
        ValueError: if ``memory_gb`` is not positive, or too small for the smallest block; the message says how much
            that takes.

    Example:
        >>> fit_block(1e-6, lambda rows, columns: 4 * rows * columns, rows=10, columns=50, what="a product")
        (10, 25)
    """
    fewest_rows, fewest_columns = min(fewest_rows, rows), min(fewest_columns, columns)
    require_memory(memory_gb, bytes_of(fewest_rows, fewest_columns), what)
    budget = _bytes(memory_gb)
    if bytes_of(rows, columns) <= budget:
        return rows, columns
    if bytes_of(rows, fewest_columns) <= budget:
        part = min(budget, _bytes(_COMFORT_GB))
        return rows, max(fewest_columns, _most(columns, lambda count: bytes_of(rows, count), part))
    return _most(rows, lambda count: bytes_of(count, fewest_columns), budget), fewest_columns


def require_memory(memory_gb: float, least_bytes: int, what: str) -> None:
    """Check that the memory is enough.

    Args:
        memory_gb: in units of 1e9 bytes.
        least_bytes: what the work takes at least.
        what: the work.

    Raises:
        ValueError: if ``memory_gb`` is not positive, or less than that.
    """
    if not memory_gb > 0:
        raise ValueError(f"TEST.MEMORY_GB (memory_gb) must be > 0, got {memory_gb}")
    if _bytes(memory_gb) < least_bytes:
        raise ValueError(
            f"TEST.MEMORY_GB (memory_gb) is {memory_gb:g}, but {what} takes {_rounded_up(least_bytes / 1e9)} GB at "
            "least; set it to that or more"
        )


def _bytes(memory_gb: float) -> int:
    return round(memory_gb * 1e9)


def _most(limit: int, bytes_of: Callable[[int], int], budget: int) -> int:
    """Return the largest count in 0..limit that takes no more than the budget."""
    return bisect.bisect_right(range(1, limit + 1), budget, key=bytes_of)


def _rounded_up(value: float) -> str:
    """Write a positive number with three digits, none of which makes it smaller."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(value / unit) * unit:.3g}"
