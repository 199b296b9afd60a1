"""The two solids that people are made of, drawn shaded into an array: tubes and balls.

A canvas is ``(H, W, 3)`` float32 RGB in 0..255, changed in place; points are ``(x, y)`` in its pixels, x to the right,
y downwards. A surface is a colour, or a function that maps where points lie on the solid, ``(P,)`` and ``(P,)``, to
their colours ``(P, 3)``. On a tube these are the place along the axis, 0 at the start to 1 at the end, and the azimuth;
on a ball the elevation, -1 (bottom) to 1 (top), and the azimuth. The azimuth is in radians in [-pi, pi): 0 is the
person's front, positive the person's left; ``yaw`` says how far the person is turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .palette import RGB

__all__ = ["Surface", "draw_ball", "draw_tube"]

Surface = RGB | Callable[[np.ndarray, np.ndarray], np.ndarray]
_AMBIENT = 0.62  # brightness of a surface that faces away from the light; 1 where it faces it


def draw_tube(
    canvas: np.ndarray,
    start: Sequence[float],
    end: Sequence[float],
    radii: Sequence[float],
    surface: Surface,
    *,
    yaw: float = 0.0,
    light: float = 0.0,
    round_ends: bool = True,
) -> None:
    """Draw a tube of varying radius.

    Args:
        canvas: see the module.
        start: one end of the axis.
        end: the other end; where it is the start, a disc is drawn.
        radii: at least 2, in pixels, evenly spaced from start to end.
        surface: see the module.
        yaw: how far the person is turned, in radians; 0 faces the viewer.
        light: where the light comes from, in radians; 0 from the viewer, positive from the right.
        round_ends: close the ends with half balls; otherwise they are cut.
    """
    (x0, y0), (x1, y1) = start, end
    y1 = y1 if (x0, y0) != (x1, y1) else y1 + 1e-3  # an axis without length has no direction
    length = math.hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    reach = max(radii)
    window = _window(canvas, min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach)
    if window is None:
        return
    dx, dy, part = *_offsets(window, x0, y0), canvas[window]
    along = (dx * ux + dy * uy) / length  # 0 at the start, 1 at the end
    across = dx * uy - dy * ux  # to the right of an axis that runs downwards
    t = np.minimum(np.maximum(along, 0.0), 1.0)
    radius = _radius(t, radii)
    beyond = (along - t) * length
    inside = across**2 + beyond**2 < radius**2 if round_ends else (beyond == 0) & (np.abs(across) < radius)
    facing = np.arcsin(across[inside] / radius[inside])  # where the surface faces, 0 to the viewer
    part[inside] = _colour(surface, t[inside], facing - yaw) * _shade(facing, light)


def draw_ball(
    canvas: np.ndarray,
    centre: Sequence[float],
    radii: tuple[float, float],
    surface: Surface,
    *,
    yaw: float = 0.0,
    light: float = 0.0,
    above: float = -1.0,
) -> None:
    """Draw an ellipsoid, or its upper part.

    Args:
        canvas: see the module.
        centre: of the whole ball.
        radii: ``(horizontal, vertical)``, in pixels.
        surface: see the module.
        yaw: as for a tube.
        light: as for a tube.
        above: only what is over this elevation is drawn, -1 (everything) to 1 (nothing).
    """
    (cx, cy), (rx, ry) = centre, radii
    window = _window(canvas, cx - rx, cy - ry, cx + rx, cy + ry)
    if window is None:
        return
    dx, dy = _offsets(window, cx, cy)
    right, up = dx / rx + 0 * dy, 0 * dx - dy / ry
    near = 1.0 - right**2 - up**2
    inside = (near > 0) & (up > above)
    right, up, near = right[inside], up[inside], np.sqrt(near[inside])
    facing = np.arctan2(right, near)
    canvas[window][inside] = _colour(surface, up, facing - yaw) * _shade(facing, light)


def _radius(t: np.ndarray, radii: Sequence[float]) -> np.ndarray:
    """Interpolate the radius at the places `t`."""
    if len(radii) == 2:  # most tubes; cheaper than the general case
        return np.float32(radii[0]) + np.float32(radii[1] - radii[0]) * t
    return np.interp(t, np.linspace(0.0, 1.0, len(radii)), radii).astype(np.float32)


def _window(canvas: np.ndarray, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice] | None:
    """Return the rows and columns of the canvas that a box touches, or None if there are none."""
    height, width = canvas.shape[:2]
    rows = slice(max(int(top), 0), min(int(bottom) + 2, height))
    columns = slice(max(int(left), 0), min(int(right) + 2, width))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def _offsets(window: tuple[slice, slice], x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = window
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - x)  # (1, w)
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y)  # (h, 1)
    return dx, dy


def _colour(surface: Surface, place: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    if not callable(surface):
        return np.asarray(surface, dtype=np.float32)  # (3,)
    return surface(place, (azimuth + np.pi) % (2 * np.pi) - np.pi)  # (P, 3)


def _shade(facing: np.ndarray, light: float) -> np.ndarray:
    return (_AMBIENT + (1 - _AMBIENT) * np.maximum(np.cos(facing - light), 0.0))[:, None].astype(np.float32)  # (P, 1)
