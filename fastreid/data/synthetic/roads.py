"""The backdrops of vehicles: roads that a camera looks down on, so that there is more ground than sky."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import ImageDraw

from .palette import RGB
from .scenery import BACKDROP_SIZE, ScenePainter, ground, houses, shades, tones

__all__ = ["ROADS"]

Draw = ImageDraw.ImageDraw
_WIDTH, _HEIGHT = BACKDROP_SIZE


def _asphalt(draw: Draw, rng: np.random.Generator, colour: RGB, horizon: int) -> None:
    """Fill the ground with patched asphalt."""
    far = tuple(channel - 12 for channel in colour)
    ground(draw, colour, far, horizon)
    for _ in range(36):
        x, y = int(rng.integers(0, _WIDTH)), int(rng.integers(horizon, _HEIGHT))
        draw.polygon([(x, y), (x + 40, y - 3), (x + 58, y + 5), (x + 8, y + 9)], fill=tones(rng, colour, 7))


def _dashes(draw: Draw, y: int, thick: int, length: int, gap: int, colour: RGB = (206, 206, 200)) -> None:
    for x in range(0, _WIDTH, length + gap):
        draw.polygon([(x, y), (x + length, y), (x + length - thick, y + thick), (x - thick, y + thick)], fill=colour)


def _avenue(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 30], fill=(150, 146, 140))
    houses(draw, rng, wall=(168, 150, 134), window=(108, 118, 124), spread=26, bottom=30, tops=(-30, -14))
    draw.rectangle([0, 30, _WIDTH, 46], fill=(168, 166, 160))
    for x in range(12, _WIDTH, 52):
        r = int(rng.integers(10, 17))
        draw.rectangle([x - 2, 10, x + 2, 40], fill=(88, 70, 54))
        draw.ellipse([x - r, 6 - r, x + r, 6 + r], fill=shades(rng, (76, 116, 62), 22))
    _asphalt(draw, rng, (112, 112, 114), 46)
    _dashes(draw, 66, 3, 34, 22)
    _dashes(draw, 110, 5, 60, 40)


def _junction(draw: Draw, rng: np.random.Generator) -> None:
    _asphalt(draw, rng, (96, 97, 101), 0)
    draw.rectangle([0, 0, _WIDTH, 16], fill=(150, 146, 140))
    for x in range(-60, _WIDTH, 150):
        for stripe in range(5):
            left = x + 16 * stripe
            draw.polygon(
                [(left, 26), (left + 9, 26), (left - 10, 74), (left - 21, 74)], fill=tones(rng, (204, 204, 198), 8)
            )
        draw.polygon([(x + 96, 20), (x + 102, 20), (x + 44, 160), (x + 32, 160)], fill=(206, 206, 202))
    draw.rectangle([0, 84, _WIDTH, 88], fill=(206, 206, 202))


def _car_park(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 26], fill=(108, 128, 82))
    for x in range(0, _WIDTH, 20):
        draw.ellipse([x - 8, 2, x + 22, 26], fill=shades(rng, (84, 112, 62), 18))
    _asphalt(draw, rng, (134, 132, 130), 26)
    for x in range(-40, _WIDTH, 88):
        draw.polygon([(x, 30), (x + 4, 30), (x - 26, 96), (x - 33, 96)], fill=(216, 214, 206))
        if rng.random() < 0.55:
            body = shades(rng, (130, 126, 128), 70)
            draw.rounded_rectangle([x + 8, 26, x + 70, 48], radius=7, fill=body)
            draw.rounded_rectangle([x + 18, 14, x + 60, 34], radius=7, fill=shades(rng, (68, 76, 86), 12))
            for wheel in (x + 14, x + 52):
                draw.ellipse([wheel, 40, wheel + 13, 53], fill=(28, 28, 30))
    draw.rectangle([0, 96, _WIDTH, 100], fill=(216, 214, 206))


def _bridge(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 22], fill=(150, 176, 196))
    draw.rectangle([0, 14, _WIDTH, 34], fill=(88, 118, 132))
    for x in range(0, _WIDTH, 22):
        draw.rectangle([x, 10, x + 3, 42], fill=(120, 126, 130))
    for y in (12, 22, 32):
        draw.rectangle([0, y, _WIDTH, y + 2], fill=(140, 146, 150))
    draw.rectangle([0, 34, _WIDTH, 50], fill=(176, 174, 168))
    _asphalt(draw, rng, (126, 124, 122), 50)
    draw.rectangle([0, 58, _WIDTH, 60], fill=(226, 190, 70))
    _dashes(draw, 104, 4, 48, 48)


def _suburb(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 40], fill=(112, 140, 84))
    for x in range(0, _WIDTH, 84):
        wall = shades(rng, (206, 190, 166), 26)
        draw.rectangle([x + 8, 2, x + 62, 30], fill=wall)
        draw.polygon([(x, 4), (x + 35, -22), (x + 70, 4)], fill=shades(rng, (140, 76, 60), 24))
        draw.rectangle([x + 16, 8, x + 28, 18], fill=(96, 112, 122))
        draw.rectangle([x + 42, 10, x + 52, 30], fill=shades(rng, (110, 84, 70), 30))
        draw.ellipse([x + 58, 14, x + 86, 38], fill=shades(rng, (80, 116, 62), 20))
    draw.rectangle([0, 38, _WIDTH, 48], fill=(184, 180, 172))
    _asphalt(draw, rng, (142, 138, 134), 48)


def _tunnel(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 48], fill=(108, 98, 78))
    for x in range(0, _WIDTH, 40):
        draw.rectangle([x, 0, x + 38, 40], fill=tones(rng, (140, 124, 92), 10))
    for x in range(10, _WIDTH, 80):
        draw.rectangle([x, 4, x + 44, 8], fill=(252, 222, 150))
    draw.rectangle([0, 40, _WIDTH, 52], fill=(96, 90, 78))
    _asphalt(draw, rng, (86, 80, 70), 52)
    _dashes(draw, 92, 4, 60, 30, (200, 180, 130))


ROADS: Mapping[str, ScenePainter] = MappingProxyType(
    {
        "avenue": _avenue,
        "junction": _junction,
        "car park": _car_park,
        "bridge": _bridge,
        "suburb": _suburb,
        "tunnel": _tunnel,
    }
)
