"""How pictures mark a query and the images that are found for it: by colour, by line, and by a sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw

from ..evaluation.rank_lists import JUNK, MATCH, OTHER

__all__ = ["MARKS", "QUERY", "VERDICTS", "Mark", "badge", "draw_frame"]


@dataclass(frozen=True)
class Mark:
    """How one kind of image is marked.

    Args:
        name: what a legend says.
        colour: of frame and sign, ``#RRGGBB``.
        line: of the frame: ``solid``, ``dashed`` or ``dotted``, as CSS and matplotlib call them too.
        sign: a character for texts; empty: none.
    """

    name: str
    colour: str
    line: str
    sign: str


# Okabe and Ito, "Color Universal Design": told apart with any kind of colour vision; lines and signs do without colour.
QUERY = Mark("query", "#0072B2", "solid", "")
MARKS: Mapping[int, Mark] = {
    MATCH: Mark("true match", "#009E73", "solid", "✓"),
    OTHER: Mark("other identity", "#D55E00", "dashed", "✗"),
    JUNK: Mark("junk, does not count", "#808080", "dotted", "–"),
}
"""By kind of image, see ``fastreid.evaluation.rank_lists``."""

VERDICTS: Mapping[bool | None, Mark] = {
    True: Mark("same, by the threshold", "#009E73", "solid", "✓"),
    False: Mark("different", "#D55E00", "dashed", "✗"),
    None: Mark("not judged", "#808080", "solid", ""),
}
"""By what a threshold says of an image, see ``Threshold.accepts``; without one nobody knows."""

# strokes of the signs, in a square of 1 x 1
_STROKES: Mapping[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "": (),
    "✓": (((0.24, 0.53), (0.43, 0.72), (0.77, 0.31)),),
    "✗": (((0.28, 0.28), (0.72, 0.72)), ((0.28, 0.72), (0.72, 0.28))),
    "–": (((0.25, 0.5), (0.75, 0.5)),),
}
_FINER = 4  # signs are drawn so many times as large, for smooth edges
# lengths of a stroke and of a gap of a frame's line, in widths of it
_PATTERNS: Mapping[str, tuple[float, float] | None] = {"solid": None, "dashed": (3.2, 1.8), "dotted": (1.0, 1.2)}


@lru_cache(maxsize=64)
def badge(mark: Mark, size: int) -> Image.Image:
    """Return a square with the sign of a mark, white on its colour, RGBA of ``size`` pixels; it must not be changed."""
    large = _FINER * size
    picture = Image.new("RGBA", (large, large), (255, 255, 255, 0))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((0, 0, large - 1, large - 1), radius=large // 5, fill=mark.colour)
    for stroke in _STROKES[mark.sign]:
        points = [(x * large, y * large) for x, y in stroke]
        draw.line(points, fill="white", width=round(0.14 * large), joint="curve")
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def draw_frame(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], mark: Mark, *, width: int) -> None:
    """Draw a frame inside the edges of a box.

    Args:
        draw: of the picture.
        box: left, top, right, bottom; the last two are outside.
        mark: gives colour and line.
        width: of the frame, in pixels, at least 1.
    """
    left, top, right, bottom = box
    for start, end in _strokes(right - left, width, mark.line):
        draw.rectangle((left + start, top, left + end - 1, top + width - 1), fill=mark.colour)
        draw.rectangle((left + start, bottom - width, left + end - 1, bottom - 1), fill=mark.colour)
    for start, end in _strokes(bottom - top, width, mark.line):
        draw.rectangle((left, top + start, left + width - 1, top + end - 1), fill=mark.colour)
        draw.rectangle((right - width, top + start, right - 1, top + end - 1), fill=mark.colour)


def _strokes(length: int, width: int, line: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the strokes of one side; it begins and ends with one, so that the corners are drawn."""
    pattern = _PATTERNS[line]
    if pattern is None:
        yield 0, length
        return
    stroke, gap = (part * width for part in pattern)
    count = max(2, round((length + gap) / (stroke + gap)))
    step = (length - stroke) / (count - 1)
    for number in range(count):
        start = round(number * step)
        yield start, min(length, start + max(1, round(stroke)))
