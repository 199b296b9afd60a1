"""The backdrops of two cities: one in the south in summer, one in the north in winter, seen from above."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import ImageDraw

from .scenery import BACKDROP_SIZE, ScenePainter, ground, houses, seams, shades, tones

__all__ = ["CITY_SCENES"]

Draw = ImageDraw.ImageDraw
_WIDTH, _HEIGHT = BACKDROP_SIZE


def _harbour(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 40], fill=(140, 196, 232))
    draw.rectangle([0, 40, _WIDTH, 82], fill=(46, 118, 160))
    for _ in range(160):
        x, y = int(rng.integers(0, _WIDTH)), int(rng.integers(42, 80))
        draw.line([(x, y), (x + 8, y)], fill=shades(rng, (92, 156, 190), 20))
    for x in range(10, _WIDTH, 76):
        hull = shades(rng, (220, 216, 208), 30)
        draw.polygon([(x, 62), (x + 52, 62), (x + 44, 76), (x + 8, 76)], fill=hull)
        draw.line([(x + 24, 2), (x + 24, 62)], fill=(236, 234, 226), width=2)
        draw.polygon([(x + 26, 8), (x + 26, 56), (x + 48, 56)], fill=shades(rng, (238, 232, 214), 14))
    ground(draw, (216, 196, 160), (194, 174, 140), 82)
    seams(draw, (168, 150, 120), 34, 82)


def _market(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 92], fill=(122, 92, 66))
    houses(draw, rng, wall=(222, 184, 128), window=(96, 122, 112), spread=18, bottom=76)
    for x in range(0, _WIDTH, 56):
        one, other = shades(rng, (196, 70, 60), 60), (238, 232, 220)
        for stripe in range(6):
            left = x + 8 * stripe
            draw.polygon(
                [(left, 34), (left + 8, 34), (left + 10, 50), (left + 2, 50)], fill=one if stripe % 2 else other
            )
        draw.rectangle([x + 4, 66, x + 48, 92], fill=(140, 100, 64))
        for _ in range(16):
            fruit, row = x + int(rng.integers(6, 44)), int(rng.integers(60, 70))
            draw.ellipse([fruit, row, fruit + 6, row + 6], fill=shades(rng, (206, 130, 50), 48))
    ground(draw, (210, 186, 148), (186, 160, 126), 92)
    seams(draw, (164, 138, 106), 22, 92)


def _palms(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 76], fill=(118, 184, 236))
    houses(draw, rng, wall=(240, 226, 204), window=(132, 168, 190), spread=12, bottom=76, tops=(24, 44))
    for x in range(24, _WIDTH, 66):
        draw.line([(x, 14), (x + 3, 84)], fill=(126, 98, 68), width=5)
        for turn in np.linspace(0.2, np.pi - 0.2, 7):
            tip = (x + 30 * np.cos(turn), 20 - 18 * np.sin(turn) + 20 * np.cos(turn) ** 2)
            draw.line([(x, 14), tip], fill=shades(rng, (70, 128, 58), 18), width=4)
    ground(draw, (224, 208, 176), (206, 188, 154), 76)
    draw.polygon([(0, 132), (_WIDTH, 126), (_WIDTH, 160), (0, 160)], fill=(120, 162, 84))


def _arcade(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 96], fill=(208, 166, 112))
    for x in range(0, _WIDTH, 64):
        dark = shades(rng, (96, 68, 46), 14)
        draw.rectangle([x + 14, 34, x + 58, 96], fill=dark)
        draw.ellipse([x + 14, 12, x + 58, 56], fill=dark)
        draw.rectangle([x, 0, x + 14, 96], fill=shades(rng, (226, 188, 134), 12))
    ground(draw, (206, 162, 116), (178, 134, 92), 96)
    for x in range(-640, 1280, 40):
        draw.polygon(
            [(x, 96), (x + 20, 96), ((x + 20 - 320) * 1.7 + 320, 160), ((x - 320) * 1.7 + 320, 160)],
            fill=(228, 198, 152),
        )


def _terrace(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 80], fill=(150, 196, 226))
    houses(draw, rng, wall=(214, 120, 86), window=(240, 214, 160), spread=20, bottom=80, spacing=90)
    for x in range(20, _WIDTH, 78):
        draw.polygon([(x - 26, 42), (x, 22), (x + 26, 42)], fill=shades(rng, (236, 226, 200), 18))
        draw.line([(x, 40), (x, 94)], fill=(92, 80, 70), width=2)
        draw.rectangle([x - 20, 74, x + 20, 78], fill=(132, 92, 58))
        draw.line([(x - 14, 78), (x - 16, 96)], fill=(84, 62, 44), width=2)
        draw.line([(x + 14, 78), (x + 16, 96)], fill=(84, 62, 44), width=2)
    ground(draw, (198, 172, 138), (176, 148, 114), 80)
    seams(draw, (158, 130, 100), 18, 96)


def _snow(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 30], fill=(150, 156, 166))
    ground(draw, (222, 226, 234), (196, 202, 214), 30)
    for x in range(0, _WIDTH, 26):
        foot, lean = int(rng.integers(28, 46)), int(rng.integers(-6, 7))
        draw.line([(x, foot), (x + lean, -10)], fill=(70, 66, 68), width=4)
        for row in range(2, foot - 8, 7):
            draw.line([(x, row + 6), (x + int(rng.integers(-18, 18)), row - 4)], fill=(96, 92, 94))
    draw.polygon([(0, 96), (_WIDTH, 78), (_WIDTH, 112), (0, 134)], fill=(150, 150, 154))
    for _ in range(500):
        x, y = int(rng.integers(0, _WIDTH)), int(rng.integers(32, _HEIGHT))
        draw.line([(x, y), (x + 4, y + 1)], fill=shades(rng, (206, 210, 220), 22))


def _glass_front(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 54], fill=(70, 84, 94))
    for x in range(0, _WIDTH, 24):
        for y in range(0, 54, 18):
            draw.rectangle([x, y, x + 22, y + 16], fill=tones(rng, (92, 110, 122), 24))
    ground(draw, (128, 132, 138), (104, 108, 116), 54)
    seams(draw, (88, 92, 100), 44, 54)


def _underpass(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 56], fill=(92, 94, 92))
    for row, y in enumerate(range(0, 56, 9)):
        for x in range(-12 * (row % 2), _WIDTH, 24):
            draw.rectangle([x, y, x + 22, y + 7], fill=tones(rng, (112, 118, 114), 10))
    for x in range(30, _WIDTH, 120):
        draw.rectangle([x, 6, x + 46, 10], fill=(214, 224, 206))
        for _ in range(3):
            at = x + int(rng.integers(-20, 60))
            draw.arc(
                [at, 22, at + 34, 48], 0, int(rng.integers(160, 350)), fill=shades(rng, (110, 90, 120), 70), width=3
            )
    ground(draw, (98, 98, 96), (74, 74, 74), 56)


def _stop(draw: Draw, rng: np.random.Generator) -> None:
    draw.rectangle([0, 0, _WIDTH, 50], fill=(92, 88, 90))
    houses(draw, rng, wall=(124, 110, 112), window=(196, 178, 120), spread=16, bottom=50, spacing=58, tops=(-20, -8))
    draw.rectangle([0, 50, _WIDTH, 62], fill=(190, 194, 200))
    ground(draw, (112, 114, 118), (128, 130, 134), 62)
    for x in range(20, _WIDTH, 130):
        draw.rectangle([x, 8, x + 74, 14], fill=(52, 66, 78))
        draw.rectangle([x + 2, 14, x + 70, 66], fill=(132, 146, 152), outline=(60, 70, 76))
        draw.rectangle([x + 10, 22, x + 28, 56], fill=shades(rng, (150, 90, 96), 60))
    for _ in range(90):
        x, y = int(rng.integers(0, _WIDTH)), int(rng.integers(66, _HEIGHT))
        draw.ellipse([x, y, x + int(rng.integers(6, 26)), y + 5], fill=tones(rng, (150, 154, 162), 14))


def _quay(draw: Draw, rng: np.random.Generator) -> None:
    for row, y in enumerate(range(0, 48, 6)):
        for x in range(-14 + 7 * (row % 2), _WIDTH, 14):
            draw.rectangle([x, y, x + 12, y + 4], fill=tones(rng, (100, 66, 60), 12))
    for x in range(36, _WIDTH, 96):
        draw.rectangle([x, 4, x + 30, 44], fill=(58, 66, 72))
        draw.rectangle([x + 3, 8, x + 27, 24], fill=shades(rng, (150, 160, 160), 20))
    ground(draw, (92, 94, 100), (110, 112, 116), 48)
    for row, y in enumerate((50, 55, 62, 72, 86, 106, 132)):
        step = 10 + 4 * row
        for x in range(-step // 2 * (row % 2), _WIDTH, step):
            draw.arc([x, y, x + step, y + step // 2], 180, 360, fill=(82, 84, 90))


CITY_SCENES: Mapping[str, ScenePainter] = MappingProxyType(
    {
        "harbour": _harbour,
        "market": _market,
        "palm avenue": _palms,
        "arcade": _arcade,
        "terrace": _terrace,
        "snow": _snow,
        "glass front": _glass_front,
        "underpass": _underpass,
        "bus stop": _stop,
        "quay": _quay,
    }
)
