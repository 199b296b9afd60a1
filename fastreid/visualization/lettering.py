"""Write text into pictures: of a width that is known, and shortened where it would not fit."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

__all__ = ["load_font", "shortened_to", "text_width", "write"]

_REGULAR, _BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"


@lru_cache(maxsize=32)
def load_font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font: DejaVu Sans, which comes with matplotlib and knows most alphabets, else Pillow's own.

    Args:
        size: in pixels. Pillow before 10.1, or without FreeType, has one size and Latin-1 only.
        bold: of Pillow's own fonts there is no bold one.
    """
    file = _font_folder() / (_BOLD if bold else _REGULAR)
    try:
        return ImageFont.truetype(str(file), size) if file.is_file() else ImageFont.load_default(size)
    except (ImportError, TypeError):
        return ImageFont.load_default()


def text_width(text: str, size: int, *, bold: bool = False) -> float:
    """Return the width of a line of text in pixels."""
    return _length(text, size, bold)


@lru_cache(maxsize=8192)
def shortened_to(width: float, text: str, size: int, *, bold: bool = False) -> str:
    """Return the text, or as much of its end as fits into ``width`` pixels behind ``…``.

    The ends of paths and names tell more than their beginnings. Line breaks become spaces.
    """
    text = " ".join(text.split())
    if text_width(text, size, bold=bold) <= width:
        return text
    low, high = 0, len(text)  # so many characters fit, so many do not
    while high - low > 1:
        middle = (low + high) // 2
        fits = text_width(f"…{text[len(text) - middle :]}", size, bold=bold) <= width
        low, high = (middle, high) if fits else (low, middle)
    return f"…{text[len(text) - low :]}"


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    *,
    size: int,
    colour: str,
    bold: bool = False,
    align: str = "left",
) -> None:
    """Write a line of text.

    Args:
        draw: of the picture.
        place: x of the text's left, middle or right, and y of its top.
        text: of one line.
        size: of the font, in pixels.
        colour: of the letters.
        bold: see :func:`load_font`.
        align: ``left``, ``middle`` or ``right``: which part of the text is at x.
    """
    font = load_font(size, bold=bold)
    text = _known(text, font)
    x, y = place
    if align != "left":
        x -= text_width(text, size, bold=bold) / (2 if align == "middle" else 1)
    draw.text((round(x), round(y)), text, fill=colour, font=font)


@lru_cache(maxsize=8192)
def _length(text: str, size: int, bold: bool) -> float:
    font = load_font(size, bold=bold)
    return font.getlength(_known(text, font))


def _known(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a text without the characters on which Pillow's bitmap font raises an error."""
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    return text.replace("…", "...").encode("latin-1", "replace").decode("latin-1")


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    spec = importlib.util.find_spec("matplotlib")  # its files are needed, not its code
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" if spec and spec.origin else Path()
