"""What differs between two pictures of one person by one camera: the noise of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .scenery import BACKDROP_SIZE

__all__ = ["OCCLUDERS", "Shot", "sample_shot"]

OCCLUDERS = ("pole", "bush", "car", "bin")
_OCCLUDED = 0.14  # part of the pictures with an occluder


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One moment in front of a camera.

    Attributes:
        phase: of the walking cycle, in radians.
        yaw: how the person is turned, in radians; see `Camera.yaw`.
        height: of the person relative to the picture; above 1 the box cuts the person.
        offset: of the person from the middle of the picture, ``(x, y)`` as parts of its width and height.
        light: direction of the light, in radians; 0 from the camera, positive from the right.
        exposure: factor on the brightness.
        tint: factors on red, green and blue, from the white balance.
        scene_offset: left upper corner of the part of the backdrop, in its pixels.
        occluder: a name of `OCCLUDERS`, or "none".
        occluder_at: where it stands, 0 (left) to 1 (right).
    """

    phase: float
    yaw: float
    height: float
    offset: tuple[float, float]
    light: float
    exposure: float
    tint: tuple[float, float, float]
    scene_offset: tuple[int, int]
    occluder: str
    occluder_at: float


def sample_shot(rng: np.random.Generator, camera: Camera, *, picture: tuple[int, int]) -> Shot:
    """Draw a moment.

    Args:
        rng: the only source of randomness.
        camera: who looks.
        picture: width and height of the picture in pixels, for the part of the backdrop.
    """
    free = [int(whole - part) for whole, part in zip(BACKDROP_SIZE, picture, strict=True)]
    occluded = rng.random() < _OCCLUDED
    return Shot(
        phase=rng.uniform(0, 2 * np.pi),
        yaw=np.deg2rad(camera.yaw + camera.yaw_spread * rng.uniform(-1, 1)),
        height=rng.uniform(0.86, 1.0),
        offset=(rng.uniform(-0.09, 0.09), rng.uniform(-0.03, 0.05)),
        light=rng.uniform(-1.1, 1.1),
        exposure=rng.uniform(0.85, 1.15),
        tint=tuple(rng.uniform(0.94, 1.06, size=3).tolist()),
        scene_offset=tuple(int(rng.integers(0, size + 1)) for size in free),
        occluder=str(rng.choice(OCCLUDERS)) if occluded else "none",
        occluder_at=rng.uniform(0, 1),
    )
