"""Draw what stands between camera and person."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .shot import Shot

__all__ = ["draw_occluder"]

_LEAF, _STEEL, _BIN, _LID, _CHROME = (58, 92, 48), (96, 98, 102), (64, 82, 72), (42, 60, 50), (200, 200, 204)


def draw_occluder(image: Image.Image, shot: Shot) -> None:
    """Draw the occluder of a shot, if it has one, onto an RGB picture of any size."""
    if shot.occluder != "none":
        _DRAWERS[shot.occluder](ImageDraw.Draw(image), *image.size, shot.occluder_at)


def _pole(draw: ImageDraw.ImageDraw, width: int, height: int, at: float) -> None:
    left, middle, right = (at - 0.05) * width, (at - 0.02) * width, (at + 0.05) * width
    draw.rectangle([left, 0, right, height], fill=_STEEL)
    draw.rectangle([left, 0, middle, height], fill=tuple(channel + 30 for channel in _STEEL))


def _bush(draw: ImageDraw.ImageDraw, width: int, height: int, at: float) -> None:
    for step in range(7):
        x, y = (at - 0.4 + 0.13 * step) * width, (0.9 - 0.05 * (step % 3)) * height
        shade = tuple(channel + 9 * (step % 4) for channel in _LEAF)
        draw.ellipse([x - 0.17 * width, y - 0.09 * height, x + 0.17 * width, y + 0.14 * height], fill=shade)


def _car(draw: ImageDraw.ImageDraw, width: int, height: int, at: float) -> None:
    left = (at - 0.9) * width if at < 0.5 else (at - 0.4) * width
    right = left + 1.15 * width
    paint = (int(70 + 150 * at), 74, int(150 - 100 * at))
    draw.rounded_rectangle([left, 0.74 * height, right, 1.1 * height], radius=0.06 * height, fill=paint)
    draw.rectangle([left, 0.83 * height, right, 0.845 * height], fill=_CHROME)


def _bin(draw: ImageDraw.ImageDraw, width: int, height: int, at: float) -> None:
    left, right, lid = (at - 0.2) * width, (at + 0.2) * width, 0.03 * width
    draw.rectangle([left, 0.7 * height, right, height], fill=_BIN)
    draw.rectangle([left - lid, 0.68 * height, right + lid, 0.72 * height], fill=_LID)


_DRAWERS = {"pole": _pole, "bush": _bush, "car": _car, "bin": _bin}
