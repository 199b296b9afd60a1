"""Draw arms and sleeves."""

from __future__ import annotations

from .fabric import fabric
from .pen import Pen, between
from .torso import OUTER_GARMENTS

__all__ = ["draw_arm"]

_SHORT_SLEEVE = {"t-shirt": 0.75, "dress": 0.6}  # part of the upper arm that it covers; other sleeves reach the wrist


def draw_arm(pen: Pen, side: str) -> None:
    """Draw the arm of a side, "left" or "right"."""
    identity, width, skin = pen.identity, pen.body.width, pen.dyes.skin[pen.identity.skin]
    shoulder, elbow, wrist = (pen.body.joints[f"{side} {part}"] for part in ("shoulder", "elbow", "wrist"))
    sleeve = fabric(identity.upper_pattern, *pen.upper_colours, rows=4, columns=6)
    pen.ball(pen.beside(wrist, 0, 0.018), (0.024, 0.03), skin)  # hand
    if identity.upper_cut in _SHORT_SLEEVE:
        cuff = between(shoulder, elbow, _SHORT_SLEEVE[identity.upper_cut])
        pen.tube(elbow, wrist, (0.033 * width, 0.024), skin)
        pen.tube(shoulder, elbow, (0.034 * width, 0.031 * width), skin)
        pen.tube(shoulder, cuff, (0.037 * width, 0.042 * width, 0.042 * width), sleeve)
        return
    thick = 1.18 if identity.upper_cut in OUTER_GARMENTS else 1.0
    pen.tube(elbow, wrist, (0.033 * width * thick, 0.024 * thick), sleeve)
    pen.tube(shoulder, elbow, (0.036 * width * thick, 0.04 * width * thick, 0.034 * width * thick), sleeve)
