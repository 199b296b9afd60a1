"""How points in space come onto the canvas, and how bright a surface is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["View"]

_AMBIENT, _SUN, _SKY = 0.56, 0.42, 0.14  # parts of the light on a surface
_ELEVATION = math.radians(48)  # of the sun


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera that looks at the origin.

    Points are ``(N, 3)`` in metres: x to the vehicle's left, y upwards, z to its front.

    Attributes:
        yaw: how the vehicle is turned, in radians: 0 towards the camera, pi / 2 to the right of the picture.
        pitch: how far the camera looks down, in radians.
        distance: of the camera, in metres; more than any point's.
        light: where the sun stands, in radians; 0 behind the camera, positive from the right.
        scale: canvas pixels per metre at the origin.
        shift: place of the origin on the canvas, in pixels.
    """

    yaw: float
    pitch: float
    distance: float
    light: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Return points as the camera sees them, ``(N, 3)``: to the right, upwards, towards the camera; in metres."""
        x, y, z = np.asarray(points, dtype=np.float64).T
        right, near = (
            x * math.cos(self.yaw) + z * math.sin(self.yaw),
            z * math.cos(self.yaw) - x * math.sin(self.yaw),
        )
        up = y * math.cos(self.pitch) - near * math.sin(self.pitch)
        near = near * math.cos(self.pitch) + y * math.sin(self.pitch)
        return np.stack([right, up, near], axis=1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return where points are on the canvas, ``(N, 2)`` in pixels."""
        turned = self.turn(points)
        size = self.scale * self.distance / (self.distance - turned[:, 2])
        return np.stack([self.shift[0] + turned[:, 0] * size, self.shift[1] - turned[:, 1] * size], axis=1)

    def fitted(self, points: np.ndarray, box: tuple[float, float, float, float]) -> View:
        """Return the view in which the points just fit into a box ``(left, top, right, bottom)``, in its middle."""
        places = replace(self, scale=1.0, shift=(0.0, 0.0)).project(points)
        low, high = places.min(axis=0), places.max(axis=0)
        left, top, right, bottom = box
        scale = min((right - left) / (high[0] - low[0]), (bottom - top) / (high[1] - low[1]))
        middle = (low + high) / 2 * scale
        return replace(self, scale=scale, shift=((left + right) / 2 - middle[0], (top + bottom) / 2 - middle[1]))

    def faces(self, corner: np.ndarray, normal: np.ndarray) -> bool:
        """Return whether the outside of a plane is seen: `corner` ``(3,)`` lies on it, `normal` ``(3,)`` leaves it."""
        place, outwards = self.turn(np.stack([corner, normal]))
        return float(outwards @ (np.array([0.0, 0.0, self.distance]) - place)) > 0

    def brightness(self, normal: np.ndarray) -> float:
        """Return the light on a surface with this unit normal ``(3,)``, about 0.5 to 1.1."""
        across = math.cos(_ELEVATION)
        sun = np.array([math.sin(self.light) * across, math.sin(_ELEVATION), math.cos(self.light) * across])
        (seen,) = self.turn(normal[None])
        return _AMBIENT + _SUN * max(float(seen @ sun), 0.0) + _SKY * max(float(normal[1]), 0.0)
