"""Draw a query and what was found for it, from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["RankedImage", "draw_ranking"]

_ACCEPTED, _REFUSED, _UNKNOWN, _QUERY = "#009E73", "#9A9A9A", "#0072B2", "#000000"  # Okabe and Ito, and grey
_FRAME, _GAP, _CAPTION = 4, 8, 36  # pixels
_FONT = 13


@dataclass(frozen=True)
class RankedImage:
    """One column of the picture.

    Args:
        pictures: ``(H, W, 3)`` uint8 RGB each, from top to bottom; all of the same size.
        caption: lines below; what is wider than the picture is cut off.
        accepted: whether the threshold accepts it; ``None``: there is no threshold.
    """

    pictures: Sequence[np.ndarray]
    caption: str
    accepted: bool | None = None


def draw_ranking(query: RankedImage, results: Sequence[RankedImage]) -> Image.Image:
    """Draw the query, framed in black, and the results: green if accepted, grey if not, blue without a threshold.

    Args:
        query: its column may have fewer pictures than the others.
        results: nearest first.
    """
    columns = [(query, _QUERY), *((one, _colour(one.accepted)) for one in results)]
    height, width = query.pictures[0].shape[:2]
    rows = max(len(column.pictures) for column, _ in columns)
    step_x, step_y = width + 2 * _FRAME + _GAP, height + 2 * _FRAME + _GAP
    sheet = Image.new("RGB", (_GAP + step_x * len(columns), _GAP + step_y * rows + _CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT)
    for number, (column, colour) in enumerate(columns):
        x = _GAP + number * step_x
        for row, picture in enumerate(column.pictures):
            y = _GAP + row * step_y
            draw.rectangle((x, y, x + width + 2 * _FRAME - 1, y + height + 2 * _FRAME - 1), fill=colour)
            sheet.paste(Image.fromarray(picture), (x + _FRAME, y + _FRAME))
        lines = [_cut(line, font, step_x - _GAP) for line in column.caption.splitlines()]
        draw.multiline_text((x, _GAP + rows * step_y), "\n".join(lines), fill=colour, font=font, spacing=2)
    return sheet


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the beginning of a text that fits into some pixels."""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text


def _colour(accepted: bool | None) -> str:
    return {None: _UNKNOWN, True: _ACCEPTED, False: _REFUSED}[accepted]
