"""Draw what a person carries."""

from __future__ import annotations

from .pen import Pen, darker

__all__ = ["draw_backpack", "draw_hand_bag", "draw_shoulder_bag"]


def draw_backpack(pen: Pen) -> None:
    """Draw the backpack; its straps belong to the torso."""
    body, colour = pen.body, pen.dyes.cloth[pen.identity.bag_colour]
    back = -(0.075 * body.width + 0.045)
    top, bottom = body.place(0, body.shoulder - 0.01, back), body.place(0, body.hip + 0.06, back)
    side = body.span(0.1, 0.055)
    pen.tube(top, bottom, (0.72 * side, side, 1.05 * side), colour)
    if not body.faces_viewer:
        pocket = body.place(0, body.hip + 0.11, back - 0.04)
        pen.ball(pocket, (body.span(0.068, 0.02), 0.045), darker(colour, 0.62))


def draw_shoulder_bag(pen: Pen) -> None:
    """Draw the bag at the left hip; its strap belongs to the torso. From the right the body hides the bag."""
    body, colour = pen.body, pen.dyes.cloth[pen.identity.bag_colour]
    top = body.place(0.13 * body.width, body.hip + 0.02, -0.035)
    if top.depth < -0.09 * body.unit:
        return
    side = body.span(0.035, 0.085)
    pen.tube(top, pen.beside(top, 0, 0.075), (side, side), colour, round_ends=False)
    pen.tube(top, pen.beside(top, 0, 0.03), (1.05 * side, 1.05 * side), darker(colour, 0.7), round_ends=False)  # flap


def draw_hand_bag(pen: Pen) -> None:
    """Draw the bag in the left hand, with its two handles."""
    hand, colour = pen.body.joints["left wrist"], pen.dyes.cloth[pen.identity.bag_colour]
    side = pen.body.span(0.025, 0.08)
    for end in (-0.6 * side, 0.6 * side):
        pen.tube(pen.beside(hand, 0, 0.02), pen.beside(hand, end, 0.075), (0.008, 0.008), darker(colour, 0.7))
    top, bottom = pen.beside(hand, 0, 0.075), pen.beside(hand, 0, 0.18)
    pen.tube(top, bottom, (0.8 * side, side, 1.1 * side), colour, round_ends=False)
