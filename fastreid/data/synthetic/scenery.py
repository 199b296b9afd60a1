"""What the painters of backdrops share: the size, shades of a colour, the ground in perspective."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from .palette import RGB

__all__ = ["BACKDROP_SIZE", "ScenePainter", "ground", "houses", "seams", "shades", "tones"]

BACKDROP_SIZE = (640, 160)  # width, height in pixels of the file
ScenePainter = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


def shades(rng: np.random.Generator, colour: RGB, spread: int) -> RGB:
    """Return a colour whose channels differ from another one's by at most `spread`."""
    red, green, blue = (int(channel + rng.integers(-spread, spread + 1)) for channel in colour)
    return red, green, blue


def tones(rng: np.random.Generator, colour: RGB, spread: int) -> RGB:
    """Return a lighter or darker colour, by at most `spread`."""
    step = int(rng.integers(-spread, spread + 1))
    red, green, blue = (channel + step for channel in colour)
    return red, green, blue


def ground(draw: ImageDraw.ImageDraw, near: RGB, far: RGB, horizon: int) -> None:
    """Fill the rows below the horizon, lighter or darker towards the viewer."""
    width, height = BACKDROP_SIZE
    for y in range(horizon, height):
        part = (y - horizon) / (height - horizon)
        draw.line([(0, y), (width, y)], fill=tuple(int(f + (n - f) * part) for n, f in zip(near, far, strict=True)))


def seams(draw: ImageDraw.ImageDraw, colour: RGB, spacing: int, horizon: int) -> None:
    """Draw the joints of paving stones in perspective."""
    width, height = BACKDROP_SIZE
    y, step = float(horizon), 4.0
    while y < height:
        draw.line([(0, y), (width, y)], fill=colour)
        y, step = y + step, step * 1.3
    for x in range(-width, 2 * width, spacing):
        draw.line([(x, horizon), ((x - width // 2) * 1.6 + width // 2, height)], fill=colour)


def houses(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    *,
    wall: RGB,
    window: RGB,
    spread: int,
    bottom: int,
    spacing: int = 70,
    tops: tuple[int, int] = (-10, 12),
) -> None:
    """Draw a row of houses with their windows.

    Args:
        draw: of the backdrop.
        rng: draws sizes and shades.
        wall: colour of the houses.
        window: colour of their windows.
        spread: by which these colours vary.
        bottom: row on which the houses stand.
        spacing: pixels from one house to the next.
        tops: lowest and highest row of a roof.
    """
    for x in range(-20, BACKDROP_SIZE[0], spacing):
        top = int(rng.integers(*tops))
        draw.rectangle([x, top, x + spacing - 3, bottom], fill=shades(rng, wall, spread))
        for row in range(top + 8, bottom - 12, 16):
            for column in range(x + 7, x + spacing - 12, 15):
                draw.rectangle([column, row, column + 8, row + 10], fill=shades(rng, window, spread))
