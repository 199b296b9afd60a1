"""Paint one picture of one pedestrian or vehicle by one camera."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image

from .camera import Camera
from .cover import draw_cover
from .framing import USUAL, Framing
from .identity import Identity
from .lens import develop
from .occluder import draw_occluder
from .palette import INFRARED, VISIBLE
from .person import draw_person
from .scene import backdrop
from .shot import Shot, sample_shot
from .vehicles import Vehicle, View, draw_vehicle

__all__ = ["HEIGHT", "PAINTER_VERSION", "VEHICLE_HEIGHT", "VEHICLE_WIDTH", "WIDTH", "paint"]

# Raise it with every change that alters a pixel of SynthReID: it names the folder, so that pictures of two painters
# never mix.
PAINTER_VERSION = 1
HEIGHT, WIDTH = 128, 64  # pixels
VEHICLE_HEIGHT, VEHICLE_WIDTH = 96, 128
_OVERSAMPLING = 2  # canvas pixels per picture pixel and axis; smooths the edges
_DISTANCE = 26.0  # of a camera from a vehicle, in metres
_BEHIND_THE_LAMP = 0.42  # brightness of the background in infrared, which the lamp hardly reaches


def paint(
    subject: Identity | Vehicle, camera: Camera, rng: np.random.Generator, framing: Framing = USUAL
) -> np.ndarray:
    """Paint a pedestrian or a vehicle as a detector would crop it.

    Args:
        subject: who or what passes by.
        camera: who looks.
        rng: the only source of randomness: the same state gives the same picture.
        framing: what hides a part of it; it draws nothing from `rng`, so that shot and noise stay as they are.

    Returns:
        ``(128, 64, 3)`` uint8 RGB, for a vehicle ``(96, 128, 3)``; smaller if the framing cuts it.
    """
    vehicle = isinstance(subject, Vehicle)
    size = (VEHICLE_WIDTH, VEHICLE_HEIGHT) if vehicle else (WIDTH, HEIGHT)
    shot = sample_shot(rng, camera, picture=size)
    if not framing.occluders:
        shot = replace(shot, occluder="none")
    image = _background(camera, shot, size)
    image = (_add_vehicle if vehicle else _add_person)(image, subject, camera, shot)
    if framing.cover is not None:
        image = draw_cover(image, framing.cover, shot.light)
    image = image.reduce(_OVERSAMPLING)
    draw_occluder(image, shot)
    return framing.cut(develop(image, camera, shot, rng))


def _background(camera: Camera, shot: Shot, size: tuple[int, int]) -> Image.Image:
    """Cut the backdrop, enlarged to the canvas."""
    (left, top), (width, height) = shot.scene_offset, size
    image = backdrop(camera.scene).crop((left, top, left + width, top + height))
    image = image.resize((width * _OVERSAMPLING, height * _OVERSAMPLING), Image.Resampling.BILINEAR)
    return image.point(lambda level: level * _BEHIND_THE_LAMP) if camera.infrared else image


def _add_person(image: Image.Image, identity: Identity, camera: Camera, shot: Shot) -> Image.Image:
    return draw_person(
        image,
        identity,
        phase=shot.phase,
        yaw=shot.yaw,
        height=shot.height,
        offset=shot.offset,
        light=shot.light,
        pitch=math.radians(camera.pitch),
        dyes=INFRARED if camera.infrared else VISIBLE,
    )


def _add_vehicle(image: Image.Image, vehicle: Vehicle, camera: Camera, shot: Shot) -> Image.Image:
    view = View(yaw=shot.yaw, pitch=math.radians(camera.pitch), distance=_DISTANCE, light=shot.light)
    size = shot.height - 0.04
    wide, tall = image.width * size, image.height * (size - 0.04)
    left, top = (image.width - wide) / 2, (image.height - tall) / 2
    right, down = shot.offset[0] * 0.4 * image.width, shot.offset[1] * 0.6 * image.height
    draw_vehicle(image, vehicle, view, (left + right, top + down, left + wide + right, top + tall + down))
    return image
