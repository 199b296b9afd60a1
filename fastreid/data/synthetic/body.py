"""Where the joints of a walking person are on the canvas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .identity import BUILD_RANGE, HEIGHT_RANGE, Identity

__all__ = ["Body", "Point", "pose_body"]

_STRIDE = 0.42  # swing of a thigh, radians to either side
_LIFT = 0.6  # bend of the knee in mid-swing, radians
_ANKLE = 0.035  # its height above the ground

Offset = tuple[float, float, float]


@dataclass(frozen=True)
class Point:
    """A point of the body: ``(x, y)`` in canvas pixels and the depth towards the viewer, in the same unit."""

    x: float
    y: float
    depth: float

    @property
    def xy(self) -> tuple[float, float]:
        """The place on the canvas."""
        return self.x, self.y


@dataclass(frozen=True, kw_only=True)
class Body:
    """A posed person, turned by `yaw` radians (0 faces the viewer, positive turns towards the right of the picture).

    Lengths are in body heights, with x to the person's left, y upwards from the ground and z to the front.

    Attributes:
        unit: canvas pixels per body height.
        origin: canvas place of the ground under the middle of the body, in pixels.
        pitch: how far the camera looks down, in radians.
        head_radius: half-width of the skull.
        width: factor on every width: below 1 for a slim person.
        hip: height above the ground.
        shoulder: height above the ground.
        joints: by name: hip, knee, ankle, toe, shoulder, elbow, wrist with the prefixes "left " and "right ".
    """

    unit: float
    yaw: float
    origin: tuple[float, float]
    pitch: float
    head_radius: float
    width: float
    hip: float
    shoulder: float
    joints: Mapping[str, Point]

    @property
    def faces_viewer(self) -> bool:
        """Whether the front is seen rather than the back."""
        return math.cos(self.yaw) > 0

    @property
    def crown(self) -> float:
        """The height of the top of the head above the ground."""
        return self.shoulder + 0.055 + 2.2 * self.head_radius

    def place(self, x: float, y: float, z: float) -> Point:
        """Project a point of the body onto the canvas."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        depth = z * cos - x * sin
        return Point(
            x=self.origin[0] + (x * cos + z * sin) * self.unit,
            y=self.origin[1] - (y * math.cos(self.pitch) - depth * math.sin(self.pitch)) * self.unit,
            depth=depth * self.unit,
        )

    def span(self, wide: float, deep: float) -> float:
        """Return the half-width, as seen, of a level ellipse with these half-axes; all in body heights."""
        return math.hypot(wide * math.cos(self.yaw), deep * math.sin(self.yaw))


def pose_body(
    identity: Identity, *, phase: float, yaw: float, origin: tuple[float, float], unit: float, pitch: float = 0.0
) -> Body:
    """Pose a person in the walking cycle.

    Args:
        identity: height and build shape the body.
        phase: of the cycle, in radians; the left leg is foremost at pi / 2.
        yaw: see `Body`.
        origin: canvas place of the ground under the middle of the body.
        unit: canvas pixels per body height.
        pitch: how far the camera looks down, in radians.
    """
    tall = (identity.height - HEIGHT_RANGE[0]) / (HEIGHT_RANGE[1] - HEIGHT_RANGE[0])  # 0..1
    broad = (identity.build - BUILD_RANGE[0]) / (BUILD_RANGE[1] - BUILD_RANGE[0])  # 0..1
    width, hip = 0.84 + 0.42 * broad, 0.475 + 0.05 * tall
    offsets = _leg(+1, phase, hip, width) | _leg(-1, phase + math.pi, hip, width)
    sink = min(offsets["left ankle"][1], offsets["right ankle"][1]) - _ANKLE  # one foot stays on the ground
    offsets = {name: (x, y - sink, z) for name, (x, y, z) in offsets.items()}
    shoulder = 0.815 - sink
    offsets |= _arm(+1, phase + math.pi, shoulder, width) | _arm(-1, phase, shoulder, width)
    body = Body(
        unit=unit,
        yaw=yaw,
        origin=origin,
        pitch=pitch,
        head_radius=0.071 - 0.012 * tall,
        width=width,
        hip=hip - sink,
        shoulder=shoulder,
        joints={},
    )
    return replace(body, joints={name: body.place(*offset) for name, offset in offsets.items()})


def _leg(side: int, phase: float, hip: float, width: float) -> dict[str, Offset]:
    """Place one leg; `side` is +1 for the left one. Thigh and shank are equally long."""
    part = (hip - _ANKLE) / 2
    swing = _STRIDE * math.sin(phase)
    low = swing - 0.06 - _LIFT * max(math.cos(phase), 0.0)  # of the shank
    x = side * 0.052 * width
    knee = (x, hip - part * math.cos(swing), part * math.sin(swing))
    ankle = (x, knee[1] - part * math.cos(low), knee[2] + part * math.sin(low))
    toe = (x * 1.25, ankle[1] - 0.018 - 0.03 * max(-low, 0.0), ankle[2] + 0.075)
    name = "left" if side > 0 else "right"
    return {f"{name} hip": (x, hip, 0.0), f"{name} knee": knee, f"{name} ankle": ankle, f"{name} toe": toe}


def _arm(side: int, phase: float, shoulder: float, width: float) -> dict[str, Offset]:
    """Place one arm; it swings against the leg of its side."""
    swing = 0.75 * _STRIDE * math.sin(phase)
    low = swing + 0.22 + 0.2 * max(math.sin(phase), 0.0)  # of the forearm
    x = side * 0.108 * width
    top = (x, shoulder - 0.034, 0.0)
    elbow = (x + side * 0.024, top[1] - 0.155 * math.cos(swing), 0.155 * math.sin(swing))
    wrist = (x + side * 0.03, elbow[1] - 0.15 * math.cos(low), elbow[2] + 0.15 * math.sin(low))
    name = "left" if side > 0 else "right"
    return {f"{name} shoulder": top, f"{name} elbow": elbow, f"{name} wrist": wrist}
