"""What hides about half of a person: plants, walls, vehicles, other people."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .identity import Identity, sample_identity
from .person import draw_person
from .scenery import shades, tones
from .vehicles import Vehicle, View, draw_vehicle, sample_vehicle

__all__ = ["COVERS", "Cover", "draw_cover", "sample_cover"]

COVERS = ("person", "vehicle", "hedge", "wall", "trunk", "board", "crates")


@dataclass(frozen=True, kw_only=True)
class Cover:
    """Something in front of a person.

    Attributes:
        kind: one of `COVERS`.
        at: where its middle is, 0 (left) to 1 (right); to which side of the middle another person stands.
        reach: how much it hides, 0 (little) to 1 (much).
        seed: of the details.
        other: the other person, or the vehicle; else None.
    """

    kind: str
    at: float
    reach: float
    seed: int
    other: Identity | Vehicle | None = None


def sample_cover(rng: np.random.Generator) -> Cover:
    """Draw what stands in front; every third time it is another person."""
    kind = COVERS[max(int(rng.integers(-2, len(COVERS))), 0)]
    other = {"person": sample_identity, "vehicle": sample_vehicle}.get(kind)
    return Cover(
        kind=kind,
        at=float(rng.uniform(0, 1)),
        reach=float(rng.uniform(0, 1)),
        seed=int(rng.integers(2**31)),
        other=other(rng) if other else None,
    )


def draw_cover(image: Image.Image, cover: Cover, light: float) -> Image.Image:
    """Return an RGB picture of a person, of any size, with something in front.

    Args:
        image: may be changed.
        cover: what.
        light: where the light comes from, in radians.
    """
    return _DRAWERS[cover.kind](image, cover, np.random.Generator(np.random.PCG64(cover.seed)), light)


def _person(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    side = -1 if cover.at < 0.5 else 1
    return draw_person(
        image,
        cover.other,
        phase=rng.uniform(0, 2 * np.pi),
        yaw=rng.uniform(-np.pi, np.pi),
        height=1.02 + 0.16 * rng.random(),
        offset=(side * (0.4 - 0.14 * cover.reach), 0.1),
        light=light,
    )


def _vehicle(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    side = -1 if cover.at < 0.5 else 1
    view = View(yaw=side * math.radians(rng.uniform(72, 108)), pitch=math.radians(8), distance=20.0, light=light)
    top, wide = (0.62 - 0.2 * cover.reach) * image.height, 2.6 * image.width
    left = (0.5 + (cover.at - 0.5) * 0.9) * image.width - wide / 2
    draw_vehicle(image, cover.other, view, (left, top, left + wide, top + 0.9 * image.height))
    return image


def _top(image: Image.Image, cover: Cover) -> float:
    """Return the row down from which a low cover hides everything."""
    return (0.64 - 0.22 * cover.reach) * image.height


def _hedge(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    draw, top, (width, height) = ImageDraw.Draw(image), _top(image, cover), image.size
    draw.rectangle([0, top + 0.05 * height, width, height], fill=(46, 72, 40))
    for _ in range(420):
        x, y, r = rng.uniform(0, width), rng.uniform(top, height), rng.uniform(0.02, 0.055) * width
        lit = int(40 * (1 - (y - top) / (height - top)))
        fill = shades(rng, (52 + lit, 86 + lit, 44 + lit // 2), 18)
        draw.ellipse([x - r, y - 0.7 * r, x + r, y + 0.7 * r], fill=fill)
    return image


def _wall(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    draw, top, (width, height) = ImageDraw.Draw(image), _top(image, cover), image.size
    base = ((150, 132, 116), (142, 82, 64), (128, 130, 134), (178, 168, 148))[int(rng.integers(4))]
    draw.rectangle([0, top, width, height], fill=tuple(int(0.7 * channel) for channel in base))
    step = 0.055 * height
    for row in range(int((height - top) / step) + 1):
        for x in np.arange(-0.3 * (row % 2), 1.2, 0.3) * width:
            y = top + row * step
            draw.rectangle([x, y, x + 0.28 * width, y + 0.82 * step], fill=tones(rng, base, 14))
    draw.rectangle([0, top - 0.025 * height, width, top + 0.01 * height], fill=tones(rng, (176, 174, 168), 12))
    return image


def _trunk(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    draw, (width, height) = ImageDraw.Draw(image), image.size
    half = (0.13 + 0.05 * cover.reach) * width
    middle = (0.3 + 0.4 * cover.at) * width
    base = tones(rng, (92, 74, 58), 22)
    for x in range(int(middle - half), int(middle + half)):
        round_ = math.sqrt(max(1 - ((x - middle) / half) ** 2, 0.0))
        draw.line([(x, 0), (x + 0.02 * width, height)], fill=tuple(int(c * (0.5 + 0.55 * round_)) for c in base))
    for _ in range(70):
        x, y = rng.uniform(middle - half, middle + 0.9 * half), rng.uniform(0, height)
        draw.line([(x, y), (x + 1, y + 0.06 * height)], fill=tuple(int(0.55 * channel) for channel in base), width=2)
    return image


def _board(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    draw, (width, height) = ImageDraw.Draw(image), image.size
    middle, half = (0.3 + 0.4 * cover.at) * width, 0.4 * width
    low = (0.86 + 0.1 * rng.random()) * height
    top = low - (0.4 + 0.16 * cover.reach) * height
    face = shades(rng, (190, 186, 170), 50)
    for x in (middle - 0.8 * half, middle + 0.7 * half):
        draw.rectangle([x, top, x + 0.06 * width, height], fill=(84, 86, 90))
    draw.rectangle([middle - half, top, middle + half, low], fill=face, outline=(60, 60, 64), width=3)
    for row in np.arange(0.15, 0.85, 0.14):
        y, end = top + row * (low - top), middle + rng.uniform(-0.2, 0.8) * half
        draw.rectangle([middle - 0.8 * half, y, end, y + 0.03 * height], fill=shades(rng, (80, 80, 100), 50))
    return image


def _crates(image: Image.Image, cover: Cover, rng: np.random.Generator, light: float) -> Image.Image:
    draw, top, (width, height) = ImageDraw.Draw(image), _top(image, cover), image.size
    size = 0.46 * width
    start = (cover.at - 1.0) * size
    for row in range(int((height - top) / (0.62 * size)) + 1):
        for x in np.arange(start + 0.06 * row * width, width, size):
            y, colour = top + row * 0.62 * size, tones(rng, (152, 118, 76), 30)
            edge = tuple(int(0.62 * channel) for channel in colour)
            draw.rectangle([x, y, x + size, y + 0.62 * size], fill=colour, outline=edge, width=3)
            draw.line([(x, y + 0.31 * size), (x + size, y + 0.31 * size)], fill=edge, width=2)
    return image


_DRAWERS: dict[str, Callable[[Image.Image, Cover, np.random.Generator, float], Image.Image]] = {
    "person": _person,
    "vehicle": _vehicle,
    "hedge": _hedge,
    "wall": _wall,
    "trunk": _trunk,
    "board": _board,
    "crates": _crates,
}
