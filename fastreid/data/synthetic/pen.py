"""Draw solids in the measures of a body, so that what is drawn need not know the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .body import Body, Point
from .identity import Identity
from .palette import RGB, VISIBLE, Dyes
from .raster import Surface, draw_ball, draw_tube

__all__ = ["Pen", "between", "darker"]


@dataclass(frozen=True)
class Pen:
    """Everything that drawing a part of a person needs; radii and distances are in body heights.

    Attributes:
        canvas: ``(H, W, 3)`` float32 RGB in 0..255, changed in place.
        identity: what the person looks like.
        body: where the parts of the body are.
        light: where the light comes from, see `raster.draw_tube`.
        dyes: what the colours of the identity look like.
    """

    canvas: np.ndarray
    identity: Identity
    body: Body
    light: float
    dyes: Dyes = VISIBLE

    @property
    def upper_colours(self) -> tuple[RGB, RGB]:
        """The colour of the upper garment, and the colour on it."""
        return self.dyes.cloth[self.identity.upper_colour], self.dyes.cloth[self.identity.second_colour]

    def tube(
        self, start: Point, end: Point, radii: Sequence[float], surface: Surface, *, round_ends: bool = True
    ) -> None:
        """Draw a tube; its azimuths are those of the person."""
        pixels = [radius * self.body.unit for radius in radii]
        draw_tube(
            self.canvas,
            start.xy,
            end.xy,
            pixels,
            surface,
            yaw=self.body.yaw,
            light=self.light,
            round_ends=round_ends,
        )

    def ball(self, centre: Point, radii: tuple[float, float], surface: Surface, *, above: float = -1.0) -> None:
        """Draw a ball with the radii ``(horizontal, vertical)``, or its part over the elevation `above`."""
        pixels = (radii[0] * self.body.unit, radii[1] * self.body.unit)
        draw_ball(self.canvas, centre.xy, pixels, surface, yaw=self.body.yaw, light=self.light, above=above)

    def beside(self, point: Point, right: float, down: float) -> Point:
        """Return the point this far to the right of another one and below it, as seen."""
        return Point(point.x + right * self.body.unit, point.y + down * self.body.unit, point.depth)


def between(start: Point, end: Point, part: float) -> Point:
    """Return the point at `part`, 0..1, of the way from start to end."""
    pairs = ((start.x, end.x), (start.y, end.y), (start.depth, end.depth))
    return Point(*(a + (b - a) * part for a, b in pairs))


def darker(colour: RGB, factor: float) -> RGB:
    """Scale a colour by a factor in [0, 1]."""
    red, green, blue = colour
    return int(red * factor), int(green * factor), int(blue * factor)
