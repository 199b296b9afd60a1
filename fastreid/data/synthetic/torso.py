"""Draw the torso in its garment."""

from __future__ import annotations

import numpy as np

from .fabric import fabric, with_open_front, with_sash, with_straps
from .pen import Pen
from .raster import Surface

__all__ = ["OUTER_GARMENTS", "draw_torso"]

OUTER_GARMENTS = ("jacket", "coat")  # worn open over another shirt, and thicker
# where the garment ends above the hip (below, if negative), in body heights
_HEM = {"t-shirt": 0.0, "long sleeve": 0.0, "jacket": -0.03, "coat": -0.22, "dress": -0.17}
_BAND = 0.043  # height of a stripe, in body heights
_LEVELS = 15  # at which the silhouette is worked out


def draw_torso(pen: Pen) -> None:
    """Draw the upper garment from the neck to its hem."""
    body, cut = pen.body, pen.identity.upper_cut
    top, bottom = body.shoulder + 0.035, body.hip + _HEM[cut]
    bulk = body.width * (1.1 if cut in OUTER_GARMENTS else 1.0)
    heights, wide, deep = _silhouette(top, body.hip, flared=cut == "dress")
    levels = np.linspace(top, bottom, _LEVELS)
    axes = zip(np.interp(levels, heights, wide), np.interp(levels, heights, deep))
    radii = [body.span(bulk * across, bulk * through) for across, through in axes]
    surface = _surface(pen, length=top - bottom, to_hip=top - body.hip)
    pen.tube(body.place(0, top, 0), body.place(0, bottom, 0), radii, surface, round_ends=False)


def _silhouette(top: float, hip: float, *, flared: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return heights above the ground, rising, with the half-width and the half-depth of the body there."""
    outline = [
        (hip - 0.22, 0.15, 0.145) if flared else (hip - 0.22, 0.128, 0.12),
        (hip - 0.05, 0.112, 0.088),
        (hip + 0.02, 0.11, 0.084),
        (hip + 0.12, 0.095, 0.07),  # waist
        (top - 0.12, 0.115, 0.082),  # chest
        (top - 0.045, 0.118, 0.07),  # shoulders
        (top - 0.012, 0.09, 0.055),
        (top, 0.05, 0.04),  # neck
    ]
    heights, wide, deep = (np.array(column) for column in zip(*outline))
    return heights, wide, deep


def _surface(pen: Pen, *, length: float, to_hip: float) -> Surface:
    """Return the look of the garment.

    Args:
        pen: whose person wears it.
        length: in body heights, so that patterns have the same scale on every cut.
        to_hip: length down to the hip, in body heights.
    """
    identity, (_, second), bag = pen.identity, pen.upper_colours, pen.dyes.cloth[pen.identity.bag_colour]
    cloth = fabric(
        identity.upper_pattern,
        *pen.upper_colours,
        rows=length / _BAND,
        columns=14,
        print_at=0.1 / length,
    )
    if identity.upper_cut in OUTER_GARMENTS:
        cloth = with_open_front(cloth, second, half_width=0.33)
    if identity.bag == "backpack":
        cloth = with_straps(cloth, bag, hip=to_hip / length)
    if identity.bag == "shoulder bag":
        cloth = with_sash(cloth, bag, hip=to_hip / length)
    return cloth
