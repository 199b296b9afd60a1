"""Turn the painted scene into what a camera delivers: light, colour, blur, resolution and noise."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .camera import Camera
from .shot import Shot

__all__ = ["develop"]

# Of what a camera for infrared sees of colours that were painted for the eye.
_NEAR_INFRARED = np.array([0.5, 0.35, 0.15], dtype=np.float32)
_FALLOFF = 0.6  # of the lamp, from the middle of the picture to its corners
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # weights of luma, ITU-R BT.601


def develop(image: Image.Image, camera: Camera, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Photograph a picture.

    Args:
        image: RGB, as the eye would see it.
        camera: its optics and colours.
        shot: exposure and white balance of the moment.
        rng: draws the sensor noise.

    Returns:
        ``(H, W, 3)`` uint8 RGB of the size of `image`.
    """
    sensor = tuple(max(round(side * camera.sharpness), 1) for side in image.size)
    if sensor != image.size:
        image = image.resize(sensor, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)
    if camera.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(camera.blur))
    x = np.asarray(image, dtype=np.float32) / 255
    if camera.infrared:
        return _develop_infrared(x, camera, shot, rng)
    x = (x @ _GREY)[..., None] * (1 - camera.saturation) + x * camera.saturation
    x = np.power(x, np.float32(camera.gamma))
    light = camera.gain * shot.exposure * np.array(camera.cast) * np.array(shot.tint)  # (3,)
    x = x * light.astype(np.float32)
    x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(camera.noise / 255)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def _develop_infrared(x: np.ndarray, camera: Camera, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Photograph ``(H, W, 3)`` float32 in 0..1 in grey, by a lamp beside the lens; cast and tint do not count."""
    height, width = x.shape[:2]
    down, right = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    lamp = 1 - np.float32(_FALLOFF / 2) * (right**2 + (down + 0.2) ** 2)  # (H, W)
    grey = np.power(x @ _NEAR_INFRARED, np.float32(camera.gamma)) * lamp * np.float32(camera.gain * shot.exposure)
    grey = grey + rng.standard_normal(grey.shape, dtype=np.float32) * np.float32(camera.noise / 255)
    levels = (np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)
