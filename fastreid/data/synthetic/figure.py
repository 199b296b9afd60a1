"""Draw a whole person, from the farthest part to the nearest."""

from __future__ import annotations

import math

from .arms import draw_arm
from .bags import draw_backpack, draw_hand_bag, draw_shoulder_bag
from .head import draw_hair_behind, draw_head
from .legs import draw_leg, draw_seat
from .pen import Pen
from .torso import draw_torso

__all__ = ["draw_figure"]


def draw_figure(pen: Pen) -> None:
    """Draw the pen's person onto its canvas."""
    body, bag = pen.body, pen.identity.bag
    far, near = sorted(("left", "right"), key=lambda side: body.joints[f"{side} shoulder"].depth)
    from_the_side = abs(math.sin(body.yaw)) > 0.5  # the torso hides the far arm
    if body.faces_viewer:
        if bag == "backpack":
            draw_backpack(pen)
        draw_hair_behind(pen)
    if from_the_side:
        _draw_arm_and_bag(pen, far)
    draw_leg(pen, far)
    draw_leg(pen, near)
    draw_seat(pen)
    draw_torso(pen)
    if not from_the_side:
        _draw_arm_and_bag(pen, far)
    draw_head(pen)
    if bag == "backpack" and not body.faces_viewer:
        draw_backpack(pen)
    _draw_arm_and_bag(pen, near)
    if bag == "shoulder bag":
        draw_shoulder_bag(pen)


def _draw_arm_and_bag(pen: Pen, side: str) -> None:
    if side == "left" and pen.identity.bag == "hand bag":
        draw_hand_bag(pen)
    draw_arm(pen, side)
