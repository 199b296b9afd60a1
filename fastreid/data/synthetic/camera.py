"""Cameras, and the six of SynthReID: where they look from, in what light, and how badly."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CAMERAS", "Camera"]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What every picture of one camera has in common.

    Attributes:
        number: 1-based, as in the file names.
        yaw: how people who pass are turned, in degrees: 0 towards the camera, 90 to the right of the picture, 180 away.
        yaw_spread: largest deviation from `yaw`, in degrees.
        scene: what is behind them, a name of `scene.SCENES`.
        gain: brightness, 1 leaves it; light and sensor together.
        cast: factors on red, green and blue.
        gamma: of the tone curve, 1 leaves it; above 1 darkens the middle.
        saturation: 0 (grey) to 1 (as painted).
        sharpness: size of the sensor's picture relative to the file's, in (0, 1].
        blur: standard deviation of the lens blur, in pixels of the file.
        noise: standard deviation of the sensor noise, in grey levels of 255.
        jpeg_quality: 1 to 95.
        pitch: how far it looks down, in degrees in [0, 60].
        infrared: whether it sees by a lamp in near infrared, in grey, as cameras do at night.
    """

    number: int
    yaw: float
    yaw_spread: float
    scene: str
    gain: float
    cast: tuple[float, float, float]
    gamma: float
    saturation: float
    sharpness: float
    blur: float
    noise: float
    jpeg_quality: int
    pitch: float = 0.0
    infrared: bool = False


# Each camera has its own viewpoint, light and faults, so that the colours of a person change from one to the next.
CAMERAS: tuple[Camera, ...] = (
    Camera(  # daylight, the best of the six
        number=1,
        yaw=0,
        yaw_spread=30,
        scene="plaza",
        gain=1.0,
        cast=(1.01, 1.0, 0.99),
        gamma=1.0,
        saturation=1.0,
        sharpness=1.0,
        blur=0.3,
        noise=2,
        jpeg_quality=92,
    ),
    Camera(  # a shaded wall, bluish
        number=2,
        yaw=180,
        yaw_spread=30,
        scene="brick wall",
        gain=0.84,
        cast=(0.93, 0.98, 1.1),
        gamma=1.05,
        saturation=0.92,
        sharpness=0.85,
        blur=0.4,
        noise=3,
        jpeg_quality=86,
    ),
    Camera(  # low sun over a park, warm
        number=3,
        yaw=75,
        yaw_spread=25,
        scene="park",
        gain=1.05,
        cast=(1.09, 1.01, 0.88),
        gamma=0.98,
        saturation=1.0,
        sharpness=0.95,
        blur=0.4,
        noise=3,
        jpeg_quality=88,
    ),
    Camera(  # a cheap camera over a crossing, faded
        number=4,
        yaw=-70,
        yaw_spread=25,
        scene="crossing",
        gain=1.08,
        cast=(0.99, 1.03, 1.01),
        gamma=0.86,
        saturation=0.8,
        sharpness=0.65,
        blur=0.3,
        noise=4,
        jpeg_quality=78,
    ),
    Camera(  # indoors under greenish tubes
        number=5,
        yaw=30,
        yaw_spread=30,
        scene="corridor",
        gain=0.92,
        cast=(0.96, 1.07, 0.92),
        gamma=1.0,
        saturation=0.9,
        sharpness=0.8,
        blur=0.5,
        noise=3,
        jpeg_quality=82,
    ),
    Camera(  # a street at dusk: dark and noisy
        number=6,
        yaw=-140,
        yaw_spread=30,
        scene="street",
        gain=0.74,
        cast=(1.06, 0.97, 1.0),
        gamma=1.08,
        saturation=0.88,
        sharpness=0.8,
        blur=0.4,
        noise=5,
        jpeg_quality=78,
    ),
)
