"""What kinds of vehicles look like from the side: data, in metres.

A vehicle is made of blocks. A block is a convex outline of points ``(z, y)``, z to the front and y upwards, open at the
bottom, which is stretched across: its half-width is `low` at the lowest point and `high` at the highest one. Every edge
of the outline is a strip with a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["SHAPES", "Block", "Shape"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One convex part.

    Attributes:
        part: "body", "cabin" (with the windows), "cargo" or "frame".
        outline: points ``(z, y)`` from the lower front over the top to the lower back.
        roles: of the edges between them, one fewer than points: "front", "bonnet", "top", "boot", "rear", "windscreen",
            "rear window".
        low: half-width at the bottom.
        high: half-width at the top.
        windows: along a side of a cabin, as ``(front, back)`` in parts of the roof's length from the front; what
            reaches over the roof's ends is cut by the pillars.
    """

    part: str
    outline: tuple[tuple[float, float], ...]
    roles: tuple[str, ...]
    low: float
    high: float
    windows: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of vehicle.

    Attributes:
        blocks: those of one group touch, and are drawn in this order; a truck's box comes in a second group.
        cargo: the second group.
        wheels: places z of the axles.
        radius: of a wheel.
        belt: height between the lower and the upper half of the sides, where a side band runs.
        bed: ``(front, back)`` of an open load area, or None.
    """

    blocks: tuple[Block, ...]
    wheels: tuple[float, ...]
    radius: float
    belt: float
    cargo: tuple[Block, ...] = ()
    bed: tuple[float, float] | None = None


_HULL = ("front", "bonnet", "top", "boot", "rear")
_CABIN = ("windscreen", "top", "rear window")


def _hull(
    front: float, nose: float, scuttle: tuple[float, float], deck: tuple[float, float], tail: float, half: float
) -> Block:
    """Return the lower part of a car.

    Args:
        front: z of the front end; the back is at ``-front``.
        nose: height of the front end.
        scuttle: ``(z, y)`` where the bonnet ends.
        deck: ``(z, y)`` where the boot begins.
        tail: height of the back.
        half: half of the width.
    """
    outline = ((front, 0.24), (front - 0.06, nose), scuttle, deck, (-front + 0.04, tail), (-front, 0.28))
    return Block(part="body", outline=outline, roles=_HULL, low=half, high=half - 0.03)


def _cabin(
    front: tuple[float, float], back: tuple[float, float], base: float, top: float, low: float, high: float, *windows
) -> Block:
    """Return what sits on a hull, from `base` to `top`; `front` and `back` are z at these heights."""
    outline = ((front[0], base), (front[1], top), (back[1], top), (back[0], base))
    return Block(part="cabin", outline=outline, roles=_CABIN, low=low, high=high, windows=windows)


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "hatchback": Shape(
            blocks=(
                _hull(1.95, 0.74, (1.0, 0.96), (-1.8, 1.0), 0.92, 0.86),
                _cabin((1.12, 0.45), (-1.9, -1.5), 0.93, 1.5, 0.82, 0.62, (-0.5, 0.42), (0.48, 1.1)),
            ),
            wheels=(1.22, -1.28),
            radius=0.31,
            belt=0.82,
        ),
        "sedan": Shape(
            blocks=(
                _hull(2.35, 0.68, (1.0, 0.92), (-1.55, 0.98), 0.9, 0.9),
                _cabin((1.15, 0.35), (-1.75, -0.95), 0.9, 1.43, 0.84, 0.6, (-0.7, 0.45), (0.51, 1.5)),
            ),
            wheels=(1.42, -1.4),
            radius=0.32,
            belt=0.78,
        ),
        "estate": Shape(
            blocks=(
                _hull(2.35, 0.7, (1.05, 0.92), (-2.2, 0.98), 0.94, 0.9),
                _cabin((1.2, 0.45), (-2.28, -1.95), 0.9, 1.48, 0.84, 0.64, (-0.4, 0.3), (0.34, 0.64), (0.68, 1.1)),
            ),
            wheels=(1.42, -1.42),
            radius=0.32,
            belt=0.79,
        ),
        "SUV": Shape(
            blocks=(
                _hull(2.2, 0.92, (1.02, 1.14), (-2.05, 1.18), 1.1, 0.94),
                _cabin((1.12, 0.55), (-2.12, -1.8), 1.1, 1.78, 0.9, 0.72, (-0.3, 0.36), (0.4, 0.7), (0.74, 1.1)),
            ),
            wheels=(1.34, -1.34),
            radius=0.4,
            belt=0.98,
        ),
        "pickup": Shape(
            blocks=(
                _hull(2.6, 0.94, (1.35, 1.12), (-0.6, 1.12), 1.1, 0.94),
                _cabin((1.45, 0.85), (-0.72, -0.5), 1.1, 1.76, 0.9, 0.74, (-0.5, 0.42), (0.48, 1.1)),
            ),
            wheels=(1.66, -1.6),
            radius=0.4,
            belt=0.98,
            bed=(-0.78, -2.46),
        ),
        "van": Shape(
            blocks=(
                _hull(2.45, 0.84, (1.85, 1.14), (-2.4, 1.14), 1.14, 0.97),
                _cabin((1.92, 1.2), (-2.42, -2.32), 1.1, 2.1, 0.96, 0.86, (-0.5, 0.14)),
            ),
            wheels=(1.55, -1.45),
            radius=0.34,
            belt=0.98,
        ),
        "minibus": Shape(
            blocks=(
                _hull(2.6, 0.9, (2.12, 1.2), (-2.55, 1.2), 1.2, 1.0),
                _cabin(
                    (2.2, 1.65), (-2.57, -2.48), 1.16, 2.3, 0.99, 0.9,
                    (-0.3, 0.16), (0.19, 0.44), (0.47, 0.71), (0.74, 0.97),
                ),
            ),
            wheels=(1.66, -1.5),
            radius=0.35,
            belt=1.0,
        ),
        "truck": Shape(
            blocks=(
                Block(
                    part="frame",
                    outline=((3.1, 0.5), (3.1, 0.9), (-3.2, 0.95), (-3.2, 0.6)),
                    roles=("front", "top", "rear"),
                    low=0.8,
                    high=0.8,
                ),
                Block(
                    part="body",
                    outline=((3.25, 0.36), (3.22, 1.5), (1.55, 1.5), (1.55, 0.5)),
                    roles=("front", "top", "rear"),
                    low=1.08,
                    high=1.06,
                ),
                _cabin((3.2, 2.9), (1.55, 1.6), 1.48, 2.3, 1.05, 0.95, (-0.3, 0.8)),
            ),
            wheels=(2.35, -1.9),
            radius=0.46,
            belt=1.15,
            cargo=(
                Block(
                    part="cargo",
                    outline=((1.42, 0.95), (1.42, 2.9), (-3.3, 2.9), (-3.3, 0.95)),
                    roles=("front", "top", "rear"),
                    low=1.14,
                    high=1.14,
                ),
            ),
        ),
        "bus": Shape(
            blocks=(
                _hull(4.3, 1.2, (4.2, 1.32), (-4.2, 1.32), 1.3, 1.24),
                _cabin(
                    (4.22, 4.05), (-4.24, -4.2), 1.28, 3.0, 1.22, 1.16,
                    (0.01, 0.12), (0.14, 0.3), (0.32, 0.48), (0.5, 0.66), (0.68, 0.84), (0.86, 0.98),
                ),
            ),
            wheels=(2.8, -2.5),
            radius=0.48,
            belt=1.05,
        ),
    }
)  # fmt: skip
