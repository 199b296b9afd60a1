"""Draw legs, shoes and what is worn below the waist."""

from __future__ import annotations

from .palette import RGB
from .pen import Pen, between, darker

__all__ = ["draw_leg", "draw_seat"]

_CUFF = {"trousers": 0.044, "leggings": 0.03}  # radius at the ankle; other cuts leave the shank bare
_FAR = 0.78  # brightness of the leg on the far side, so that crossing legs stay apart


def draw_leg(pen: Pen, side: str) -> None:
    """Draw the leg of a side, "left" or "right", from the foot up."""
    identity, width = pen.identity, pen.body.width
    hip, knee, ankle, toe = (pen.body.joints[f"{side} {part}"] for part in ("hip", "knee", "ankle", "toe"))
    shade = _FAR if hip.depth < -0.004 * pen.body.unit else 1.0
    skin, cloth = darker(pen.dyes.skin[identity.skin], shade), darker(pen.dyes.cloth[identity.lower_colour], shade)
    shoe: RGB = pen.dyes.cloth[identity.shoe_colour]
    pen.tube(knee, ankle, (0.042 * width, 0.043 * width, 0.027), skin)
    if identity.lower_cut in _CUFF:
        pen.tube(knee, ankle, (0.048 * width, _CUFF[identity.lower_cut]), cloth)
    if identity.shoes == "boots":
        pen.tube(between(knee, ankle, 0.35), ankle, (0.043, 0.034), shoe)
    pen.tube(ankle, toe, (0.026, 0.02), shoe)
    loose = 0.012 if identity.lower_cut == "shorts" else 0.0
    thigh = skin if identity.lower_cut == "skirt" else cloth
    pen.tube(hip, knee, (0.068 * width, 0.06 * width + loose, 0.047 * width + loose), thigh)


def draw_seat(pen: Pen) -> None:
    """Draw what joins the legs: the skirt, or the upper part of other cuts."""
    body, colour = pen.body, pen.dyes.cloth[pen.identity.lower_colour]
    span, width = body.span, body.width
    waist = body.place(0, body.hip + 0.1, 0)
    seat = (span(0.085 * width, 0.068 * width), span(0.112 * width, 0.088 * width))
    if pen.identity.lower_cut == "skirt":
        hem = span(0.14 * width, 0.15 * width)
        pen.tube(waist, body.place(0, body.hip - 0.2, 0), (*seat, hem), colour, round_ends=False)
    else:
        pen.tube(waist, body.place(0, body.hip - 0.02, 0), seat, colour)
