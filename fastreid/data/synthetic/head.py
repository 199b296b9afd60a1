"""Draw a head: face, hair and hat."""

from __future__ import annotations

import math

import numpy as np

from .body import Point
from .identity import Identity
from .palette import Dyes
from .pen import Pen
from .raster import Surface

__all__ = ["draw_hair_behind", "draw_head"]

_NAPE = {"short": -0.25, "curly": -0.55}  # elevation where the hair ends at the back
_NAPE_OF_OTHERS = -0.45


def draw_head(pen: Pen) -> None:
    """Draw neck, head, hair and hat."""
    body, identity, radius = pen.body, pen.identity, pen.body.head_radius
    head = body.place(0, body.crown - 1.15 * radius, 0.012)
    across, up = body.span(0.84 * radius, 0.98 * radius), 1.15 * radius
    pen.tube(head, body.place(0, body.shoulder + 0.025, 0), (0.034, 0.036), pen.dyes.skin[identity.skin])
    pen.ball(head, (across, up), _face(identity, pen.dyes))
    if identity.hair_style != "bald":
        wider, higher = (1.22, 1.15) if identity.hair_style == "curly" else (1.04, 1.03)
        pen.ball(head, (wider * across, higher * up), _face_and_hair(identity, pen.dyes))
    if not body.faces_viewer:
        draw_hair_behind(pen)
    if identity.hat != "none":
        _draw_hat(pen, head, across, up)


def draw_hair_behind(pen: Pen) -> None:
    """Draw what hangs or sits at the back of the head; of a person who faces the viewer, before the torso."""
    body, radius, hair = pen.body, pen.body.head_radius, pen.dyes.hair[pen.identity.hair_colour]
    match pen.identity.hair_style:
        case "long":
            top, tip = body.place(0, body.crown - radius, -0.03), body.place(0, body.shoulder - 0.075, -0.06)
            pen.tube(top, tip, (body.span(0.062, 0.04), body.span(0.078, 0.04), body.span(0.062, 0.03)), hair)
        case "ponytail":
            top = body.place(0, body.crown - 0.9 * radius, -1.05 * radius)
            tip = body.place(0, body.shoulder - 0.06, -1.05 * radius - 0.055)
            pen.tube(top, tip, (0.018, 0.03, 0.012), hair)
        case "bun":
            pen.ball(body.place(0, body.crown - 0.15 * radius, -0.75 * radius), (0.036, 0.036), hair)


def _face(identity: Identity, dyes: Dyes) -> Surface:
    skin = np.float32(dyes.skin[identity.skin])

    def paint(elevation: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        eyes = (np.abs(np.abs(azimuth) - 0.42) < 0.17) & (np.abs(elevation - 0.08) < 0.09)
        mouth = (np.abs(azimuth) < 0.3) & (np.abs(elevation + 0.52) < 0.06)
        colours = np.where(eyes[:, None], np.float32(dyes.eye), skin)
        return np.where(mouth[:, None], np.float32(dyes.mouth), colours)

    return paint


def _face_and_hair(identity: Identity, dyes: Dyes) -> Surface:
    """Cover the skull with hair down to the nape, and leave the face free."""
    hair, face = np.float32(dyes.hair[identity.hair_colour]), _face(identity, dyes)
    nape = _NAPE.get(identity.hair_style, _NAPE_OF_OTHERS)

    def paint(elevation: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        fringe = 0.5 - 0.1 * np.cos(azimuth)
        free = ((np.abs(azimuth) < 1.05) & (elevation < fringe)) | (elevation < nape)
        return np.where(free[:, None], face(elevation, azimuth), hair)

    return paint


def _draw_hat(pen: Pen, head: Point, across: float, up: float) -> None:
    """Draw the hat of a head with the half-width `across` and the half-height `up`, in body heights."""
    colour, yaw = pen.dyes.cloth[pen.identity.hat_colour], pen.body.yaw
    brim = pen.beside(head, 0, -0.36 * up)
    match pen.identity.hat:
        case "beanie":
            pen.ball(head, (1.14 * across, 1.16 * up), colour, above=0.18)
        case "brimmed hat":
            pen.ball(pen.beside(head, 0, -0.1 * up), (1.08 * across, 1.15 * up), colour, above=0.1)
            ends = pen.beside(brim, -1.5 * across, 0), pen.beside(brim, 1.5 * across, 0)
            pen.tube(*ends, (0.011, 0.011), colour)
        case "cap":
            pen.ball(head, (1.1 * across, 1.1 * up), colour, above=0.3)
            if math.cos(yaw) > -0.5:  # from behind the head hides the peak
                peak = pen.beside(brim, 2 * across * math.sin(yaw), 0.004)
                pen.tube(brim, peak, (0.35 * across, 0.012), colour)
