"""Put a person into a picture: shadow and figure."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .body import pose_body
from .figure import draw_figure
from .identity import Identity
from .palette import VISIBLE, Dyes
from .pen import Pen

__all__ = ["draw_person"]


def draw_person(
    image: Image.Image,
    identity: Identity,
    *,
    phase: float,
    yaw: float,
    height: float,
    offset: tuple[float, float],
    light: float,
    pitch: float = 0.0,
    dyes: Dyes = VISIBLE,
) -> Image.Image:
    """Return a picture with a person, and the shadow of its feet, in it.

    Args:
        image: RGB; changed by the shadow.
        identity: who it is.
        phase: of the walking cycle, in radians.
        yaw: how the person is turned, in radians; 0 faces the viewer.
        height: of the person relative to the picture.
        offset: from the middle of the picture, ``(x, y)`` as parts of its width and height.
        light: where the light comes from, in radians.
        pitch: how far the camera looks down, in radians.
        dyes: what the colours look like.
    """
    _draw_shadow(image, height, offset, light, pitch)
    canvas = np.array(image, dtype=np.float32)
    tall, wide = canvas.shape[:2]
    seen = tall * height
    origin = (wide * (0.5 + offset[0]), (tall + seen) / 2 + tall * offset[1])
    body = pose_body(identity, phase=phase, yaw=yaw, origin=origin, unit=seen / math.cos(pitch), pitch=pitch)
    draw_figure(Pen(canvas, identity, body, light, dyes))
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _draw_shadow(image: Image.Image, height: float, offset: tuple[float, float], light: float, pitch: float) -> None:
    x = image.width * (0.5 + offset[0] - 0.1 * np.sin(light))
    y = image.height * ((1 + height) / 2 + offset[1])
    shadow = Image.new("L", image.size, 0)
    reach, deep = 0.3 * image.width, 1 + 2 * math.sin(pitch)  # from above, a flat ellipse is seen rounder
    top, bottom = y - 0.035 * deep * image.height, y + 0.012 * deep * image.height
    ImageDraw.Draw(shadow).ellipse([x - reach, top, x + reach, bottom], fill=110)
    image.paste((24, 24, 28), mask=shadow)
