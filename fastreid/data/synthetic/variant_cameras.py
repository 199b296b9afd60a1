"""The cameras of the other synthetic sets: at night, in two cities, over roads."""

from __future__ import annotations

from dataclasses import replace

from .camera import CAMERAS, Camera

__all__ = ["CITY_A_CAMERAS", "CITY_B_CAMERAS", "NIGHT_CAMERAS", "ROAD_CAMERAS"]

RGB = tuple[float, float, float]


def _night(number: int, camera: Camera, gain: float, gamma: float, blur: float, noise: float) -> Camera:
    """Return a camera that sees the place of another one by its lamp."""
    return replace(
        camera, number=number, infrared=True, gain=gain, gamma=gamma, blur=blur, noise=noise, cast=(1.0, 1.0, 1.0)
    )


# Numbers 1 to 3 are SynthReID's by day; 4 to 6 look at the places of its other three.
NIGHT_CAMERAS: tuple[Camera, ...] = (
    *CAMERAS[:3],
    _night(4, CAMERAS[3], gain=1.1, gamma=0.95, blur=0.6, noise=9),
    _night(5, CAMERAS[4], gain=0.95, gamma=1.25, blur=0.5, noise=7),
    _night(6, CAMERAS[5], gain=1.3, gamma=0.8, blur=0.8, noise=12),
)


def _camera(
    number: int,
    yaw: float,
    scene: str,
    *,
    gain: float,
    cast: RGB,
    gamma: float = 1.0,
    saturation: float = 1.0,
    sharpness: float = 0.9,
    blur: float = 0.4,
    noise: float = 3,
    jpeg_quality: int = 86,
    pitch: float = 0.0,
    yaw_spread: float = 28,
) -> Camera:
    return Camera(
        number=number,
        yaw=yaw,
        yaw_spread=yaw_spread,
        scene=scene,
        gain=gain,
        cast=cast,
        gamma=gamma,
        saturation=saturation,
        sharpness=sharpness,
        blur=blur,
        noise=noise,
        jpeg_quality=jpeg_quality,
        pitch=pitch,
    )


# The south: strong sun, warm colours, good cameras at the height of the people.
CITY_A_CAMERAS: tuple[Camera, ...] = (
    _camera(1, 10, "harbour", gain=1.12, cast=(1.05, 1.01, 0.93), gamma=0.95, noise=2, jpeg_quality=92),
    _camera(2, 175, "market", gain=1.0, cast=(1.08, 1.0, 0.88), gamma=1.08, pitch=4),
    _camera(3, 80, "palm avenue", gain=1.16, cast=(1.02, 1.02, 0.95), gamma=0.9, sharpness=1.0, noise=2),
    _camera(4, -75, "arcade", gain=0.86, cast=(1.12, 0.99, 0.84), gamma=1.12, blur=0.5, noise=4),
    _camera(5, -150, "terrace", gain=1.04, cast=(1.1, 0.98, 0.9), sharpness=0.8, jpeg_quality=80, pitch=3),
)

# The north: overcast, bluish and faded, cheaper cameras high above the ground.
CITY_B_CAMERAS: tuple[Camera, ...] = (
    _camera(
        1, -20, "snow", gain=0.94, cast=(0.94, 1.0, 1.09), gamma=1.0, saturation=0.7, noise=4, pitch=22, sharpness=0.75
    ),
    _camera(
        2, 165, "glass front", gain=0.86, cast=(0.92, 1.0, 1.1), saturation=0.75, noise=5, pitch=28, jpeg_quality=76
    ),
    _camera(
        3, 60, "underpass", gain=0.7, cast=(0.96, 1.08, 0.94), gamma=1.1, saturation=0.65, noise=8, pitch=18, blur=0.6
    ),
    _camera(
        4, -95, "bus stop", gain=0.8, cast=(0.96, 0.99, 1.06), saturation=0.8, noise=5, pitch=24, sharpness=0.65
    ),
    _camera(
        5, 120, "quay", gain=0.78, cast=(0.94, 0.99, 1.1), gamma=1.08, saturation=0.7, noise=6, pitch=26,
        jpeg_quality=72, sharpness=0.8,
    ),
)  # fmt: skip

# Two see fronts, two sides, two backs, each from another side and another height.
ROAD_CAMERAS: tuple[Camera, ...] = (
    _camera(1, 35, "avenue", gain=1.02, cast=(1.02, 1.0, 0.97), noise=2, jpeg_quality=92, pitch=12, yaw_spread=18),
    _camera(2, -40, "junction", gain=0.84, cast=(0.94, 0.99, 1.09), gamma=1.06, pitch=24, yaw_spread=18),
    _camera(3, 85, "car park", gain=1.1, cast=(1.06, 1.01, 0.9), pitch=16, sharpness=0.8, yaw_spread=22),
    _camera(
        4, -95, "bridge", gain=1.04, cast=(0.98, 1.02, 1.02), gamma=0.86, saturation=0.78, noise=4, pitch=10,
        sharpness=0.7, jpeg_quality=78, yaw_spread=22,
    ),
    _camera(5, 145, "suburb", gain=1.08, cast=(1.0, 1.04, 0.96), pitch=14, blur=0.5, yaw_spread=18),
    _camera(
        6, -140, "tunnel", gain=0.8, cast=(1.12, 0.98, 0.84), gamma=1.05, saturation=0.85, noise=6, pitch=20,
        sharpness=0.8, jpeg_quality=78, yaw_spread=18,
    ),
)  # fmt: skip
