"""What stands behind and in front of people: one wide backdrop per scene, of which every picture shows another part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .cities import CITY_SCENES
from .roads import ROADS
from .scenery import BACKDROP_SIZE, ground, seams, shades

__all__ = ["BACKDROP_SIZE", "SCENES", "backdrop"]

_HORIZON = 74  # row where ground meets wall or sky


@lru_cache(maxsize=16)
def backdrop(scene: str) -> Image.Image:
    """Paint the backdrop of a scene; the same picture at every call, and shared: do not change it.

    Args:
        scene: a name of `SCENES`.

    Returns:
        RGB of `BACKDROP_SIZE`.
    """
    if scene not in SCENES:
        raise ValueError(f"scene must be one of {', '.join(SCENES)}; got {scene!r}")
    rng = np.random.Generator(np.random.PCG64([len(scene), *scene.encode()]))
    image = Image.new("RGB", BACKDROP_SIZE)
    SCENES[scene](ImageDraw.Draw(image), rng)
    image = image.filter(ImageFilter.GaussianBlur(0.8))
    grain = rng.normal(0, 5, (*BACKDROP_SIZE[::-1], 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _plaza(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, _ = BACKDROP_SIZE
    draw.rectangle([0, 0, width, _HORIZON], fill=(176, 196, 216))
    for x in range(-20, width, 58):
        top = int(rng.integers(0, 40))
        draw.rectangle([x, top, x + int(rng.integers(40, 64)), _HORIZON], fill=shades(rng, (168, 160, 150), 26))
        for row in range(top + 6, _HORIZON - 8, 13):
            for column in range(x + 6, x + 46, 12):
                draw.rectangle([column, row, column + 6, row + 7], fill=shades(rng, (96, 108, 122), 20))
    ground(draw, (186, 180, 170), (158, 154, 148), _HORIZON)
    seams(draw, (140, 136, 130), 26, _HORIZON)


def _brick_wall(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, _ = BACKDROP_SIZE
    draw.rectangle([0, 0, width, _HORIZON + 20], fill=(150, 136, 124))
    for row, y in enumerate(range(0, _HORIZON + 20, 6)):
        for x in range(-14 + 7 * (row % 2), width, 14):
            draw.rectangle([x, y, x + 12, y + 4], fill=shades(rng, (142, 74, 58), 22))
    for x in range(60, width, 170):
        draw.rectangle([x, 18, x + 42, _HORIZON + 20], fill=shades(rng, (72, 84, 78), 20))
        draw.rectangle([x + 4, 24, x + 38, 60], fill=shades(rng, (110, 124, 130), 20))
    _, height = BACKDROP_SIZE
    draw.rectangle([0, _HORIZON + 20, width, height], fill=(116, 114, 112))
    for x in range(0, width, 34):
        draw.line([(x, _HORIZON + 20), ((x - 320) * 1.3 + 320, height)], fill=(96, 94, 92))


def _park(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, height = BACKDROP_SIZE
    draw.rectangle([0, 0, width, _HORIZON], fill=(186, 208, 226))
    for x in range(-20, width, 16):
        y, r = int(rng.integers(18, 62)), int(rng.integers(12, 30))
        draw.ellipse([x - r, y - r, x + r, y + r], fill=shades(rng, (66, 108, 56), 24))
    for x in range(10, width, 74):
        draw.rectangle([x, 40, x + int(rng.integers(4, 9)), _HORIZON + 6], fill=shades(rng, (84, 64, 48), 14))
    ground(draw, (116, 146, 72), (94, 132, 66), _HORIZON)
    draw.polygon([(0, 118), (width, 104), (width, 138), (0, 150)], fill=(190, 172, 138))
    for _ in range(700):
        x, y = int(rng.integers(0, width)), int(rng.integers(_HORIZON, height))
        draw.line([(x, y), (x + 1, y - 3)], fill=shades(rng, (96, 132, 62), 26))


def _crossing(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, height = BACKDROP_SIZE
    draw.rectangle([0, 0, width, _HORIZON], fill=(150, 150, 148))
    for x in range(0, width, 90):
        draw.rectangle([x, 4, x + 82, 52], fill=shades(rng, (132, 128, 120), 34))
        draw.rectangle([x + 8, 12, x + 74, 44], fill=shades(rng, (92, 104, 112), 26))
    for x in range(20, width, 120):
        body = shades(rng, (120, 110, 116), 80)
        draw.rounded_rectangle([x, 56, x + 74, 80], radius=7, fill=body)
        draw.rounded_rectangle([x + 14, 42, x + 60, 62], radius=7, fill=shades(rng, (70, 80, 90), 10))
        for wheel in (x + 10, x + 52):
            draw.ellipse([wheel, 72, wheel + 14, 86], fill=(30, 30, 32))
    draw.rectangle([0, 84, width, height], fill=(96, 98, 102))
    for x in range(-100, width + 100, 44):
        draw.polygon([(x, 96), (x + 22, 96), (x + 6, height), (x - 26, height)], fill=(214, 214, 210))


def _corridor(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, height = BACKDROP_SIZE
    draw.rectangle([0, 0, width, height], fill=(206, 204, 190))
    for x in range(14, width, 96):
        draw.rectangle([x, 14, x + 44, 104], fill=shades(rng, (148, 112, 74), 26))
        draw.rectangle([x + 36, 58, x + 40, 62], fill=(220, 210, 170))
    for x in range(70, width, 192):
        draw.rectangle([x, 24, x + 24, 56], fill=shades(rng, (140, 120, 140), 70))
    draw.rectangle([0, 98, width, 104], fill=(120, 116, 104))
    draw.rectangle([0, 104, width, height], fill=(164, 164, 152))
    for x in range(-20, width, 40):
        draw.polygon([(x, 104), (x + 20, 104), (x + 16, height), (x - 12, height)], fill=(148, 150, 140))


def _street(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width, height = BACKDROP_SIZE
    draw.rectangle([0, 0, width, _HORIZON + 10], fill=(92, 88, 96))
    for x in range(0, width, 80):
        draw.rectangle([x, 0, x + 76, _HORIZON + 10], fill=shades(rng, (104, 98, 104), 30))
        draw.rectangle([x + 6, 26, x + 68, 70], fill=shades(rng, (206, 184, 132), 40))
        draw.rectangle([x + 4, 12, x + 72, 24], fill=shades(rng, (118, 70, 90), 60))
        draw.line([(x + 37, 26), (x + 37, 70)], fill=(60, 58, 62), width=3)
    draw.rectangle([0, _HORIZON + 10, width, 124], fill=(134, 130, 134))
    draw.rectangle([0, 124, width, 130], fill=(168, 164, 164))
    draw.rectangle([0, 130, width, height], fill=(78, 78, 84))


SCENES: Mapping[str, Callable[[ImageDraw.ImageDraw, np.random.Generator], None]] = MappingProxyType(
    {
        "plaza": _plaza,
        "brick wall": _brick_wall,
        "park": _park,
        "crossing": _crossing,
        "corridor": _corridor,
        "street": _street,
        **CITY_SCENES,
        **ROADS,
    }
)
