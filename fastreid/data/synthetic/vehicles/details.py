"""Draw what makes one vehicle different from the next: lights, bumpers, windows, stickers, wheels, roof loads."""

from __future__ import annotations

import math

import numpy as np

from ..palette import RGB
from .paintwork import CHROME, GLASS, HEADLIGHT, LACQUER, PLASTIC, PLATE, TAILLIGHT, TYRE
from .solid import Flat, Side, Solid, Strip, disc, rectangle
from .vehicle import Vehicle

__all__ = [
    "draw_nose",
    "draw_roof",
    "draw_side_windows",
    "draw_sticker",
    "draw_tail",
    "draw_wheel",
    "draw_window",
    "trim",
]

_LIGHT_SIZES = {"round": (0.13, 0.11), "wide": (0.2, 0.09), "slim": (0.25, 0.05), "tall": (0.09, 0.17)}  # u, metres
_ROOF_BOX, _RAIL = (58, 60, 66), (150, 154, 158)


def trim(vehicle: Vehicle) -> RGB:
    """Return the colour of bumpers and sills."""
    return {"painted": LACQUER[vehicle.colour], "black": PLASTIC, "chrome": CHROME}[vehicle.trim]


def draw_nose(strip: Strip, vehicle: Vehicle) -> None:
    """Draw bumper, grille, headlights and plate onto the front."""
    high = 0.3 / strip.height
    strip.fill(trim(vehicle), rectangle(-1, 0, 1, high))
    strip.fill(PLASTIC, rectangle(-0.5, 0.3 * high, 0.5, 0.55 * high))
    level = min(1.55 * high, 0.72)
    strip.fill(PLASTIC, rectangle(-0.44, level - 0.4 * high, 0.44, level + 0.4 * high))
    if vehicle.trim == "chrome":
        strip.fill(CHROME, rectangle(-0.44, level - 0.06 * high, 0.44, level + 0.06 * high))
    _draw_lights(strip, vehicle, HEADLIGHT, 0.74, level)
    _draw_plate(strip, vehicle, 0.62 * high)


def draw_tail(strip: Strip, vehicle: Vehicle) -> None:
    """Draw bumper, rear lights and plate onto the back."""
    high = 0.3 / strip.height  # of the bumper; v runs downwards here
    strip.fill(trim(vehicle), rectangle(-1, 1 - high, 1, 1))
    _draw_lights(strip, vehicle, TAILLIGHT, 0.8, max(1 - 1.75 * high, 0.25))
    _draw_plate(strip, vehicle, 1 - 1.5 * high)


def _draw_lights(strip: Strip, vehicle: Vehicle, colour: RGB, at: float, level: float) -> None:
    wide, tall = _LIGHT_SIZES[vehicle.lights]
    tall /= strip.height
    for sign in (-1, 1):
        draw = disc if vehicle.lights == "round" else _box
        strip.fill(PLASTIC, draw(sign * at, level, 1.2 * wide, 1.3 * tall))
        strip.fill(colour, draw(sign * at, level, wide, tall))
        if vehicle.lights == "wide":
            strip.fill((236, 150, 40), draw(sign * (at + 0.13), level, 0.06, tall))


def _box(x: float, y: float, rx: float, ry: float) -> Flat:
    return rectangle(x - rx, y - ry, x + rx, y + ry)


def _draw_plate(strip: Strip, vehicle: Vehicle, level: float) -> None:
    strip.fill(PLASTIC, _box(0, level, 0.29, 0.08 / strip.height))
    strip.fill(PLATE[vehicle.plate], _box(0, level, 0.27, 0.065 / strip.height))


def draw_window(strip: Strip, vehicle: Vehicle, *, split: bool = False) -> None:
    """Draw the windscreen or the rear window, in one piece or in the two of a van's doors."""
    glass = GLASS[vehicle.glass]
    for left, right in ((-0.86, -0.1), (0.1, 0.86)) if split else ((-0.9, 0.9),):
        strip.fill(PLASTIC, rectangle(left - 0.02, 0.08, right + 0.02, 0.92))
        strip.fill(glass, rectangle(left, 0.12, right, 0.88))
        shine = tuple(min(channel + 34, 255) for channel in glass)
        middle = (left + right) / 2
        strip.fill(shine, ((middle, 0.12), (middle + 0.22, 0.12), (middle + 0.06, 0.88), (middle - 0.16, 0.88)))


def draw_side_windows(side: Side, vehicle: Vehicle) -> None:
    """Draw the windows of a cabin's side."""
    (z0, base), (z1, top), (z2, _), (z3, _) = side.outline
    low, high = base + 0.14 * (top - base), top - 0.13 * (top - base)

    def slanted(part: float, y: float) -> float:
        along = (y - base) / (top - base)
        front, back = z0 + (z1 - z0) * along - 0.08, z3 + (z2 - z3) * along + 0.08
        return min(max(z1 - part * (z1 - z2), back), front)

    for front, back in side.solid.block.windows:
        corners = [(slanted(part, y), y) for part, y in ((front, low), (back, low), (back, high), (front, high))]
        side.fill(GLASS[vehicle.glass], corners)


def draw_sticker(surface: Side | Strip, vehicle: Vehicle, at: tuple[float, float], size: tuple[float, float]) -> None:
    """Draw the sticker, `size` being its half-width and half-height in the surface's coordinates."""
    colour = LACQUER[vehicle.sticker_colour]

    def put(flat: Flat, paint: RGB = colour) -> None:
        surface.fill(paint, [(at[0] + x * size[0], at[1] + y * size[1]) for x, y in flat])

    match vehicle.sticker:
        case "dot":
            put(disc(0, 0, 1, 1))
        case "square":
            put(rectangle(-1, -1, 1, 1))
            put(rectangle(-0.45, -0.45, 0.45, 0.45), LACQUER[vehicle.colour])
        case "lettering":
            for start, width, low in (
                (-1.6, 0.5, -0.5),
                (-0.95, 0.3, -0.5),
                (-0.5, 0.5, -0.1),
                (0.15, 0.25, -0.5),
                (0.6, 0.9, -0.5),
            ):
                put(rectangle(start, low, start + width, 0.5))
        case "chevrons":
            for x in (-1.1, -0.2, 0.7):
                put(((x, -0.9), (x + 0.4, -0.9), (x + 0.9, 0), (x + 0.4, 0.9), (x, 0.9), (x + 0.5, 0)))


def draw_wheel(solid: Solid, vehicle: Vehicle, sign: int, z: float, radius: float) -> None:
    """Draw one wheel of the side `sign`, with its arch."""
    side, view = solid.side(sign), solid.view

    def put(colour: RGB, flat: Flat, depth: float) -> None:
        z, y = np.array(flat).T
        points = np.stack([np.full(len(z), sign * (solid.block.low - depth)), y, z], axis=1)
        light = view.brightness(side.normal)
        corners = [tuple(xy) for xy in view.project(points)]
        solid.draw.polygon(corners, fill=tuple(min(int(c * light), 255) for c in colour))

    z *= solid.stretch
    put((20, 20, 22), disc(z, radius + 0.03, 1.2 * radius, 1.2 * radius), 0.0)
    put(TYRE, disc(z, radius, radius, radius), 0.2)
    put((38, 38, 40), disc(z, radius, radius, radius), -0.01)
    inner = 0.68 * radius
    match vehicle.rims:
        case "steel":
            put((86, 88, 92), disc(z, radius, inner, inner), -0.02)
            put((50, 51, 54), disc(z, radius, 0.3 * inner, 0.3 * inner), -0.02)
        case "cap":
            put((206, 208, 210), disc(z, radius, inner, inner), -0.02)
        case _:
            put((58, 59, 62), disc(z, radius, inner, inner), -0.02)
            spokes = 5 if vehicle.rims == "star" else 9
            for turn in np.arange(spokes) * 2 * math.pi / spokes + 0.3:
                put((196, 198, 202), _spoke(z, radius, inner, turn, 0.26 if spokes == 5 else 0.12), -0.02)


def _spoke(z: float, y: float, length: float, turn: float, half: float) -> Flat:
    sin, cos = math.sin(turn), math.cos(turn)
    corners = ((0, half * 0.5), (1, half), (1, -half), (0, -half * 0.5))
    return [(z + length * (a * cos - b * sin), y + length * (a * sin + b * cos)) for a, b in corners]


def draw_roof(cabin: Solid, vehicle: Vehicle) -> None:
    """Draw what is on the roof of a cabin."""
    (front, back), top = (cabin.block.outline[1][0], cabin.block.outline[2][0]), cabin.block.outline[1][1]
    wide, length = cabin.block.high, front - back
    match vehicle.roof:
        case "hatch":
            (strip,) = [strip for strip in cabin.strips() if strip.role == "top"]
            strip.fill((30, 32, 38), rectangle(-0.7, 0.08, 0.7, min(0.5, 1.3 / length)))
        case "sign":
            middle = front - min(0.35 * length, 0.5)
            _draw_load(
                cabin, (middle + 0.14, middle - 0.14), (-0.42, 0.42), (top, top + 0.22), LACQUER[vehicle.sticker_colour]
            )
        case "box":
            long = min(0.8 * length, 1.7)
            middle = (front + back) / 2 if length < 3 else front - 1.4
            ends = (middle + long / 2, middle - long / 2)
            _draw_load(cabin, ends, (-0.62 * wide, 0.62 * wide), (top + 0.04, top + 0.36), _ROOF_BOX)
        case "rails":
            for sign in sorted((-1, 1), key=lambda sign: cabin.view.turn(np.array([[sign, 0.0, 0.0]]))[0, 2]):
                x = sorted((sign * 0.82 * wide, sign * 0.94 * wide))
                _draw_load(cabin, (front - 0.1, back + 0.1), (x[0], x[1]), (top, top + 0.09), _RAIL)


def _draw_load(
    cabin: Solid, z: tuple[float, float], x: tuple[float, float], y: tuple[float, float], colour: RGB
) -> None:
    """Draw a box: its visible faces, which is enough for a convex body."""
    z = (z[0] * cabin.stretch, z[1] * cabin.stretch)
    faces = (
        (np.array([0.0, 0.0, 1.0]), [(x[0], y[0], z[0]), (x[1], y[0], z[0]), (x[1], y[1], z[0]), (x[0], y[1], z[0])]),
        (np.array([0.0, 0.0, -1.0]), [(x[0], y[0], z[1]), (x[1], y[0], z[1]), (x[1], y[1], z[1]), (x[0], y[1], z[1])]),
        (np.array([1.0, 0.0, 0.0]), [(x[1], y[0], z[0]), (x[1], y[0], z[1]), (x[1], y[1], z[1]), (x[1], y[1], z[0])]),
        (np.array([-1.0, 0.0, 0.0]), [(x[0], y[0], z[0]), (x[0], y[0], z[1]), (x[0], y[1], z[1]), (x[0], y[1], z[0])]),
        (np.array([0.0, 1.0, 0.0]), [(x[0], y[1], z[0]), (x[1], y[1], z[0]), (x[1], y[1], z[1]), (x[0], y[1], z[1])]),
    )
    for normal, corners in faces:
        points = np.array(corners)
        if cabin.view.faces(points[0], normal):
            light = cabin.view.brightness(normal)
            fill = tuple(min(int(channel * light), 255) for channel in colour)
            cabin.draw.polygon([tuple(xy) for xy in cabin.view.project(points)], fill=fill)
