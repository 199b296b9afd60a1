"""What is printed, woven or sewn on a garment: functions from a place on a tube to a colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .palette import RGB
from .raster import Surface

__all__ = ["fabric", "with_open_front", "with_sash", "with_straps"]

Cloth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def fabric(
    pattern: str, colour: RGB, second: RGB, *, rows: float, columns: int, print_at: float | None = None
) -> Surface:
    """Return the surface of a patterned garment.

    Args:
        pattern: one of ``CHOICES["upper_pattern"]``.
        colour: of the cloth.
        second: of what is on it.
        rows: bands of a horizontal pattern along the tube.
        columns: bands of a vertical pattern around the tube, even.
        print_at: where along the tube a print sits, 0..1; None: this part of the garment has none.
    """
    base, other = (np.asarray(rgb, dtype=np.float32) for rgb in (colour, second))
    if pattern == "plain" or (pattern == "print" and print_at is None):
        return colour

    def paint(place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        odd_row = np.floor(place * rows) % 2 == 1
        odd_column = np.floor((azimuth / (2 * np.pi) + 0.5) * columns + 0.5) % 2 == 1
        if pattern == "horizontal stripes":
            return np.where(odd_row[:, None], other, base)
        if pattern == "vertical stripes":
            return np.where(odd_column[:, None], other, base)
        if pattern == "checks":
            return np.where((odd_row ^ odd_column)[:, None], other, base)
        badge = (azimuth / 0.75) ** 2 + ((place - print_at) / 0.17) ** 2 < 1  # on the chest ...
        label = (np.abs(azimuth) > np.pi - 0.7) & (np.abs(place - print_at + 0.04) < 0.07)  # ... and across the back
        return np.where((badge | label)[:, None], other, base)

    return paint


def with_open_front(outer: Surface, inner: Surface, half_width: float) -> Cloth:
    """Show the `inner` surface where the azimuth lies within `half_width` radians of the front."""

    def paint(place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        opening = np.abs(azimuth) < half_width * (1.25 - 0.5 * place)
        return np.where(opening[:, None], _look(inner, place, azimuth), _look(outer, place, azimuth))

    return paint


def with_straps(cloth: Surface, colour: RGB, *, hip: float) -> Cloth:
    """Lay the two straps of a backpack over the front, down to the waist; `hip` is the place of the hip on the tube."""

    def paint(place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        strap = (np.abs(np.abs(azimuth) - 0.62) < 0.17) & (place < 0.62 * hip)
        return np.where(strap[:, None], np.float32(colour), _look(cloth, place, azimuth))

    return paint


def with_sash(cloth: Surface, colour: RGB, *, hip: float) -> Cloth:
    """Lay the strap of a shoulder bag across front and back, from the right shoulder to the left hip.

    Args:
        cloth: what it lies on.
        colour: of the strap.
        hip: place of the hip on the tube, 0..1.
    """

    def paint(place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        across = np.sin(azimuth)  # -1 at the right side, 1 at the left one
        sash = np.abs(place / hip - (0.5 + 0.42 * across)) < 0.055
        return np.where(sash[:, None], np.float32(colour), _look(cloth, place, azimuth))

    return paint


def _look(surface: Surface, place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    return surface(place, azimuth) if callable(surface) else np.asarray(surface, dtype=np.float32)
