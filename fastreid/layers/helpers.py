"""Small numbers that networks are described by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["make_divisible", "to_2tuple", "to_3tuple", "to_4tuple", "to_ntuple"]


def make_divisible(v: float, divisor: int = 8, min_value: int | None = None) -> int:
    """Round a number of channels to a multiple of ``divisor``, up where rounding would lose more than a tenth.

    Args:
        v: number of channels, > 0.
        divisor: at least 1.
        min_value: the least result, a multiple of ``divisor``; ``None``: ``divisor``.

    Example:
        >>> make_divisible(37), make_divisible(11), make_divisible(3)
        (40, 16, 8)
    """
    rounded = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * v else rounded + divisor


def to_ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that makes n equal values of one, and a tuple of n values that are given.

    Raises:
        ValueError: the function, if it gets another number of values.

    Example:
        >>> to_ntuple(3)(7), to_ntuple(2)([1, 2])
        ((7, 7, 7), (1, 2))
    """

    def convert(x: Any) -> tuple[Any, ...]:
        values = tuple(x) if isinstance(x, Iterable) else (x,) * n
        if len(values) != n:
            raise ValueError(f"needed one value or {n}, got {len(values)}: {values}")
        return values

    return convert


def to_2tuple(x: Any) -> tuple[Any, Any]:
    """Return ``(x, x)``, or the two values of ``x``."""
    return to_ntuple(2)(x)


def to_3tuple(x: Any) -> tuple[Any, Any, Any]:
    """Return ``(x, x, x)``, or the three values of ``x``."""
    return to_ntuple(3)(x)


def to_4tuple(x: Any) -> tuple[Any, Any, Any, Any]:
    """Return ``(x, x, x, x)``, or the four values of ``x``."""
    return to_ntuple(4)(x)
