"""Draw on the surfaces of a block: its sides, and the strips between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from ..palette import RGB
from .shapes import Block
from .view import View

__all__ = ["Side", "Solid", "Strip", "disc", "rectangle"]

Flat = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Solid:
    """A block in space, and the canvas that it is drawn on.

    Attributes:
        block: its form.
        stretch: factor on its length.
        view: where the camera is.
        draw: of the canvas.
    """

    block: Block
    stretch: float
    view: View
    draw: ImageDraw.ImageDraw

    def half(self, y: np.ndarray) -> np.ndarray:
        """Return the half-width at heights ``(N,)``."""
        heights = [height for _, height in self.block.outline]
        return np.interp(y, [min(heights), max(heights)], [self.block.low, self.block.high])

    def place(self, across: Iterable[float], z: Iterable[float], y: Iterable[float]) -> np.ndarray:
        """Return points ``(N, 3)``; `across` is -1 at the right side and 1 at the left one."""
        across, z, y = (np.array(list(values), dtype=np.float64) for values in (across, z, y))
        return np.stack([across * self.half(y), y, z * self.stretch], axis=1)

    def hull(self) -> np.ndarray:
        """Return all corners, ``(2 * points, 3)``."""
        z, y = zip(*self.block.outline)
        return np.concatenate([self.place([side] * len(z), z, y) for side in (-1, 1)])

    def side(self, sign: int) -> Side:
        """Return the left side (1) or the right one (-1)."""
        return Side(self, sign)

    def strips(self) -> list[Strip]:
        """Return the strips from front to back."""
        ends = zip(self.block.outline, self.block.outline[1:])
        return [Strip(self, role, *pair) for role, pair in zip(self.block.roles, ends, strict=True)]


class _Surface(ABC):
    """A plane of a solid, with coordinates of its own; `normal` says where it looks."""

    solid: Solid
    normal: np.ndarray

    @property
    @abstractmethod
    def outline(self) -> Flat:
        """All of it, in its own coordinates."""

    @abstractmethod
    def points(self, flat: Flat) -> np.ndarray:
        """Return where places in its own coordinates lie in space, ``(N, 3)``."""

    @property
    def seen(self) -> bool:
        """Whether its outside faces the camera."""
        return self.solid.view.faces(self.points(self.outline)[0], self.normal)

    def fill(self, colour: RGB, flat: Flat | None = None) -> None:
        """Paint a polygon in the plane's coordinates, or all of it."""
        corners = self.solid.view.project(self.points(self.outline if flat is None else flat))
        light = self.solid.view.brightness(self.normal)
        self.solid.draw.polygon([tuple(xy) for xy in corners], fill=tuple(min(int(c * light), 255) for c in colour))


class Side(_Surface):
    """One side of a solid, in the coordinates ``(z, y)`` of its outline."""

    def __init__(self, solid: Solid, sign: int) -> None:
        self.solid, self.sign = solid, sign
        heights = [y for _, y in solid.block.outline]
        lean = (solid.block.low - solid.block.high) / max(max(heights) - min(heights), 1e-6)
        self.normal = np.array([sign, lean, 0.0]) / np.hypot(1.0, lean)

    @property
    def outline(self) -> Flat:
        """The block's outline."""
        return self.solid.block.outline

    def points(self, flat: Flat) -> np.ndarray:
        """Return the places of ``(z, y)``, ``(N, 3)``."""
        z, y = zip(*flat)
        return self.solid.place([self.sign] * len(z), z, y)

    def band(self, low: float, high: float) -> Flat:
        """Return the part of the outline between two heights; empty if there is none."""
        return _below(_above(self.outline, low), high)


class Strip(_Surface):
    """One edge of the outline across the block, in ``(u, v)``: u -1 (right) to 1 (left), v 0 to 1 along the outline."""

    def __init__(self, solid: Solid, role: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.solid, self.role, self.start, self.end = solid, role, start, end
        dz, dy = end[0] - start[0], end[1] - start[1]
        self.normal = np.array([0.0, -dz, dy]) / np.hypot(dz, dy)

    @property
    def outline(self) -> Flat:
        """All of the strip."""
        return rectangle(-1, 0, 1, 1)

    @property
    def height(self) -> float:
        """Its length along the outline, in metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    def points(self, flat: Flat) -> np.ndarray:
        """Return the places of ``(u, v)``, ``(N, 3)``."""
        u, v = np.array(flat, dtype=np.float64).T
        (z0, y0), (z1, y1) = self.start, self.end
        return self.solid.place(u, z0 + (z1 - z0) * v, y0 + (y1 - y0) * v)


def rectangle(left: float, low: float, right: float, high: float) -> Flat:
    """Return the corners of a rectangle."""
    return ((left, low), (right, low), (right, high), (left, high))


def disc(x: float, y: float, rx: float, ry: float, corners: int = 16) -> Flat:
    """Return points on an ellipse."""
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return [(x + rx * np.cos(turn), y + ry * np.sin(turn)) for turn in turns]


def _above(polygon: Flat, level: float) -> list[tuple[float, float]]:
    """Cut away what is below a level (Sutherland and Hodgman's clipping, at one line)."""
    kept: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], *polygon[:1]]):
        if y0 >= level:
            kept.append((x0, y0))
        if (y0 >= level) != (y1 >= level):
            kept.append((x0 + (x1 - x0) * (level - y0) / (y1 - y0), level))
    return kept


def _below(polygon: Flat, level: float) -> list[tuple[float, float]]:
    """Cut away what is above a level."""
    return [(x, -y) for x, y in _above([(x, -y) for x, y in polygon], -level)]
