"""Draw a whole vehicle, from the farthest part to the nearest."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..palette import RGB
from .details import draw_nose, draw_roof, draw_side_windows, draw_sticker, draw_tail, draw_wheel, draw_window, trim
from .paintwork import LACQUER, PLASTIC
from .shapes import SHAPES, Block
from .solid import Side, Solid, Strip, rectangle
from .vehicle import Vehicle
from .view import View

__all__ = ["draw_vehicle"]

_FRAME: RGB = (52, 54, 58)


def draw_vehicle(image: Image.Image, vehicle: Vehicle, view: View, box: tuple[float, float, float, float]) -> None:
    """Draw a vehicle and its shadow onto an RGB canvas, so that it just fits into a box.

    Args:
        image: changed in place.
        vehicle: what it looks like.
        view: where the camera is; scale and shift do not count.
        box: ``(left, top, right, bottom)`` in pixels of the canvas.
    """
    shape, draw = SHAPES[vehicle.kind], ImageDraw.Draw(image)
    groups = [blocks for blocks in (shape.blocks, shape.cargo) if blocks]
    corners = np.concatenate([_solid(block, vehicle, view, draw).hull() for group in groups for block in group])
    feet = corners * np.array([1.0, 0.0, 1.0])
    view = view.fitted(np.concatenate([corners, feet]), box)
    _draw_shadow(image, view, feet)
    near = 1 if view.turn(np.array([[1.0, 0.0, 0.0]]))[0, 2] > 0 else -1  # the side that faces the camera
    lowest = _solid(shape.blocks[-2], vehicle, view, draw)  # the part that the wheels belong to
    for z in shape.wheels:
        _draw_far_wheel(lowest, -near, z, shape.radius)
    for group in sorted(groups, key=lambda blocks: _nearness(blocks, view)):
        for block in group:
            _draw_block(_solid(block, vehicle, view, draw), vehicle)
    if lowest.side(near).seen:
        for z in sorted(shape.wheels, key=lambda z: view.turn(np.array([[near, 0.0, z]]))[0, 2]):
            draw_wheel(lowest, vehicle, near, z, shape.radius)


def _solid(block: Block, vehicle: Vehicle, view: View, draw: ImageDraw.ImageDraw) -> Solid:
    return Solid(block, vehicle.stretch, view, draw)


def _nearness(blocks: tuple[Block, ...], view: View) -> float:
    """Return how near the last of some blocks is, in metres."""
    middle = np.mean([(0.0, 0.0, z) for z, _ in blocks[-1].outline], axis=0)
    return float(view.turn(middle[None])[0, 2])


def _draw_shadow(image: Image.Image, view: View, feet: np.ndarray) -> None:
    shadow = Image.new("L", image.size, 0)
    low, high = feet.min(axis=0) - 0.12, feet.max(axis=0) + 0.12
    corners = np.array([[low[0], 0, low[2]], [high[0], 0, low[2]], [high[0], 0, high[2]], [low[0], 0, high[2]]])
    ImageDraw.Draw(shadow).polygon([tuple(xy) for xy in view.project(corners)], fill=165)
    image.paste((22, 22, 26), mask=shadow.filter(ImageFilter.GaussianBlur(image.width / 64)))


def _draw_far_wheel(solid: Solid, sign: int, z: float, radius: float) -> None:
    """Draw what is seen of a wheel under the vehicle."""
    ends = [(z - 0.8 * radius, 0.0), (z + 0.8 * radius, 0.0), (z + 0.8 * radius, 0.5), (z - 0.8 * radius, 0.5)]
    for depth in (0.02, 0.24):
        x = sign * (solid.block.low - depth)
        corners = solid.view.project(np.array([(x, y, along * solid.stretch) for along, y in ends]))
        solid.draw.polygon([tuple(xy) for xy in corners], fill=(24, 24, 26))


def _draw_block(solid: Solid, vehicle: Vehicle) -> None:
    for sign in (-1, 1):
        side = solid.side(sign)
        if side.seen:
            _SIDES[solid.block.part](side, vehicle)
    for strip in solid.strips():
        if strip.seen:
            _draw_strip(strip, vehicle)
    if solid.block.part == "cabin":
        draw_roof(solid, vehicle)


def _draw_body_side(side: Side, vehicle: Vehicle) -> None:
    shape, second = SHAPES[vehicle.kind], LACQUER[vehicle.second_colour]
    side.fill(LACQUER[vehicle.colour])
    if vehicle.finish == "two-tone":
        side.fill(second, side.band(0, shape.belt - 0.12))
    if vehicle.finish == "side band":
        side.fill(second, side.band(shape.belt - 0.1, shape.belt + 0.08))
    side.fill(trim(vehicle), side.band(0, 0.4))
    front, back = side.outline[0][0], side.outline[-1][0]
    doors = [front - part * (front - back) for part in (0.3, 0.5, 0.7)]
    for z in doors:
        side.fill((40, 40, 44), rectangle(z - 0.012, 0.42, z + 0.012, shape.belt + 0.1))
    if not shape.cargo:
        at = doors[1] if shape.belt > 0.95 else doors[0] - 0.1 * (front - back)
        size = 0.24 if shape.belt < 0.9 else 0.3
        draw_sticker(side, vehicle, (at, shape.belt - 0.06), (size, 0.62 * size))


def _draw_cabin_side(side: Side, vehicle: Vehicle) -> None:
    side.fill(_cabin_colour(vehicle))
    draw_side_windows(side, vehicle)
    (_, base), (front, top), (back, _), _ = side.outline
    if SHAPES[vehicle.kind].belt > 0.95 and len(side.solid.block.windows) == 1 and not SHAPES[vehicle.kind].cargo:
        draw_sticker(side, vehicle, (back + 0.45 * (front - back), (base + top) / 2), (0.5, 0.3))


def _draw_cargo_side(side: Side, vehicle: Vehicle) -> None:
    (front, low), (_, high), (back, _), _ = side.outline
    side.fill(_cargo_colour(vehicle))
    if vehicle.finish == "side band":
        side.fill(LACQUER[vehicle.colour], side.band(low + 0.3 * (high - low), low + 0.42 * (high - low)))
    if vehicle.finish == "two-tone":
        side.fill(LACQUER[vehicle.colour], side.band(low, low + 0.4 * (high - low)))
    side.fill(_FRAME, side.band(low, low + 0.06))
    draw_sticker(side, vehicle, ((front + back) / 2, low + 0.62 * (high - low)), (0.75, 0.5))


def _draw_frame_side(side: Side, vehicle: Vehicle) -> None:
    side.fill(_FRAME)


_SIDES = {
    "body": _draw_body_side,
    "cabin": _draw_cabin_side,
    "cargo": _draw_cargo_side,
    "frame": _draw_frame_side,
}


def _cabin_colour(vehicle: Vehicle) -> RGB:
    return LACQUER[vehicle.second_colour if vehicle.finish == "contrast roof" else vehicle.colour]


def _cargo_colour(vehicle: Vehicle) -> RGB:
    return LACQUER[vehicle.colour if vehicle.finish in ("plain", "stripes") else vehicle.second_colour]


def _draw_strip(strip: Strip, vehicle: Vehicle) -> None:
    part, role = strip.solid.block.part, strip.role
    colours = {"cabin": _cabin_colour(vehicle), "cargo": _cargo_colour(vehicle), "frame": _FRAME}
    strip.fill(colours.get(part, LACQUER[vehicle.colour]))
    if part == "frame":
        return
    if vehicle.finish == "stripes" and role not in ("windscreen", "rear window"):
        for left in (-0.38, 0.14):
            strip.fill(LACQUER[vehicle.second_colour], rectangle(left, 0, left + 0.24, 1))
    if vehicle.finish == "two-tone" and role in ("front", "rear") and part == "body":
        low, high = (0, 0.62) if role == "front" else (0.38, 1)
        strip.fill(LACQUER[vehicle.second_colour], rectangle(-1, low, 1, high))
    if vehicle.finish == "side band" and role in ("front", "rear"):
        low, high = (0.78, 0.98) if role == "front" else (0.04, 0.22)
        strip.fill(LACQUER[vehicle.second_colour], rectangle(-1, low, 1, high))
    _draw_fittings(strip, vehicle)


def _draw_fittings(strip: Strip, vehicle: Vehicle) -> None:
    """Draw lights, windows and stickers of a strip."""
    part, role, shape = strip.solid.block.part, strip.role, SHAPES[vehicle.kind]
    match part, role:
        case "body", "front":
            draw_nose(strip, vehicle)
            if strip.height > 0.8:  # no bonnet to speak of
                draw_sticker(strip, vehicle, (0.0, 0.86), (0.16, 0.11))
        case "body", "bonnet":
            draw_sticker(strip, vehicle, (0.45, 0.4), (0.22, 0.22 / strip.height))
        case "body", "boot" if shape.bed is not None:
            strip.fill(PLASTIC, rectangle(-0.88, 0.06, 0.88, 0.96))
            strip.fill((70, 71, 74), rectangle(-0.7, 0.12, 0.7, 0.94))
        case "body", "rear":
            draw_tail(strip, vehicle)
            draw_sticker(strip, vehicle, (0.42, 0.2), (0.17, 0.14 / strip.height))
        case "cabin", "windscreen":
            draw_window(strip, vehicle)
        case "cabin", "rear window" if not shape.cargo:
            draw_window(strip, vehicle, split=vehicle.kind == "van")
        case "cargo", "rear":
            strip.fill((60, 60, 64), rectangle(-0.015, 0, 0.015, 1))
            draw_tail(strip, vehicle)
            draw_sticker(strip, vehicle, (0.5, 0.35), (0.3, 0.2))
