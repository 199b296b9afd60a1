"""Paint one picture of one pedestrian by one camera."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .body import pose_body
from .camera import Camera
from .figure import draw_figure
from .identity import Identity
from .lens import develop
from .occluder import draw_occluder
from .pen import Pen
from .scene import backdrop
from .shot import Shot, sample_shot

__all__ = ["HEIGHT", "PAINTER_VERSION", "WIDTH", "paint"]

# Raise it with every change that alters a pixel: it names the folder, so that pictures of two painters never mix.
PAINTER_VERSION = 1
HEIGHT, WIDTH = 128, 64  # pixels
_OVERSAMPLING = 2  # canvas pixels per picture pixel and axis; smooths the edges


def paint(identity: Identity, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Paint a pedestrian as a detector would crop it.

    Args:
        identity: who walks by.
        camera: who looks.
        rng: the only source of randomness: the same state gives the same picture.

    Returns:
        ``(128, 64, 3)`` uint8 RGB.
    """
    shot = sample_shot(rng, camera, picture=(WIDTH, HEIGHT))
    canvas = np.array(_background(camera, shot), dtype=np.float32)  # (3 * 128, 3 * 64, 3)
    height, width = canvas.shape[:2]
    unit = height * shot.height
    origin = (width * (0.5 + shot.offset[0]), (height + unit) / 2 + height * shot.offset[1])
    body = pose_body(identity, phase=shot.phase, yaw=shot.yaw, origin=origin, unit=unit)
    draw_figure(Pen(canvas, identity, body, shot.light))
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).reduce(_OVERSAMPLING)
    draw_occluder(image, shot)
    return develop(image, camera, shot, rng)


def _background(camera: Camera, shot: Shot) -> Image.Image:
    """Cut the backdrop and draw the person's shadow on the ground."""
    left, top = shot.scene_offset
    image = backdrop(camera.scene).crop((left, top, left + WIDTH, top + HEIGHT))
    image = image.resize((WIDTH * _OVERSAMPLING, HEIGHT * _OVERSAMPLING), Image.Resampling.BILINEAR)
    x = image.width * (0.5 + shot.offset[0] - 0.1 * np.sin(shot.light))
    y = image.height * ((1 + shot.height) / 2 + shot.offset[1])
    shadow = Image.new("L", image.size, 0)
    reach = 0.3 * image.width
    top, bottom = y - 0.035 * image.height, y + 0.012 * image.height
    ImageDraw.Draw(shadow).ellipse([x - reach, top, x + reach, bottom], fill=110)
    image.paste((24, 24, 28), mask=shadow)
    return image
