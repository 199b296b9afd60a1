from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .probability import is_range

__all__ = ["check_rectangle", "draw_rectangle"]

_TRIES = 100


def draw_rectangle(height: int, width: int, *, area: Sequence[float], ratio: float) -> tuple[int, int, int, int] | None:
    """Draw a rectangle inside an image, from Python's global stream.

    Its area and its ratio of height to width are uniform; one that does not fit in is drawn again, a hundred times at
    the most.

    Args:
        height: of the image, in pixels.
        width: likewise.
        area: least and largest area, as a part of the image's.
        ratio: least ratio of height to width, in (0, 1]; the largest is its inverse.

    Returns:
        Top, left, height and width, or ``None`` if no rectangle fitted in.
    """
    for _ in range(_TRIES):
        own_area = random.uniform(*area) * height * width
        own_ratio = random.uniform(ratio, 1 / ratio)
        rows, columns = round(math.sqrt(own_area * own_ratio)), round(math.sqrt(own_area / own_ratio))
        if 0 < rows < height and 0 < columns < width:
            return random.randint(0, height - rows), random.randint(0, width - columns), rows, columns
    return None


def check_rectangle(area: Sequence[float], ratio: float, *, key: str = "") -> None:
    """Raise ``ValueError`` unless area and ratio are possible for :func:`draw_rectangle`.

    Args:
        area: as there.
        ratio: as there.
        key: config node that they come from, for the error.
    """
    names = (f"{key}.AREA", f"{key}.RATIO") if key else ("area", "ratio")
    if not (is_range(area) and area[0] > 0 and area[1] < 1):
        raise ValueError(f"{names[0]} must be two numbers with 0 < least <= largest < 1, got {area}")
    if not 0 < ratio <= 1:
        raise ValueError(f"{names[1]} must be in (0, 1], got {ratio}")
