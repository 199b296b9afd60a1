"""A heat map of pairs of cameras: how well queries of one camera find their matches of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..style import PANEL, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CameraTable", "camera_map_size", "camera_table", "fill_cameras"]

_MOST_WITH_NUMBERS = 24  # cameras
_CELL = (0.33, 0.25)  # inches: two numbers below each other
_MARGINS = (1.5, 0.9)  # inches, for titles, names and the colour bar


class CameraTable(NamedTuple):
    """Numbers of pairs of cameras.

    Args:
        rows: ``(A,)`` cameras of queries, ascending.
        columns: ``(B,)`` cameras of the gallery, ascending.
        values: ``(A, B)`` mean average precision in percent, NaN where no query has a match.
        queries: ``(A, B)`` int64 number of queries.
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    queries: np.ndarray


def camera_table(pairs: Sequence[Mapping[str, Any]]) -> CameraTable:
    """Arrange pairs of cameras in a table.

    Args:
        pairs: ``query_camera``, ``gallery_camera``, ``mAP`` (percent) and ``queries`` of each, as ``by_camera_pair``
            returns them.

    Raises:
        ValueError: if there is none.
    """
    if not pairs:
        raise ValueError("there is no pair of cameras; without known cameras there is no map of them")
    rows, row = np.unique([pair["query_camera"] for pair in pairs], return_inverse=True)
    columns, column = np.unique([pair["gallery_camera"] for pair in pairs], return_inverse=True)
    values = np.full((rows.size, columns.size), np.nan)
    queries = np.zeros(values.shape, dtype=np.int64)
    values[row, column] = [pair["mAP"] for pair in pairs]
    queries[row, column] = [pair["queries"] for pair in pairs]
    return CameraTable(rows, columns, values, queries)


def camera_map_size(table: CameraTable) -> tuple[float, float]:
    """Return the width and height in inches in which a map is legible, at least those of a panel."""
    most = max(table.values.shape)
    scale = 1 if most <= _MOST_WITH_NUMBERS else _MOST_WITH_NUMBERS / most
    sides = (
        scale * cell * count + margin
        for cell, count, margin in zip(_CELL, reversed(table.values.shape), _MARGINS, strict=True)
    )
    width, height = (max(own, usual) for own, usual in zip(sides, PANEL, strict=True))
    return width, height


def fill_cameras(axes: Axes, table: CameraTable, *, limits: tuple[float, float] | None = None, title: str = "") -> None:
    """Draw the mean average precision of pairs of cameras, with the number of queries below where there is room.

    Args:
        axes: to draw into.
        table: of the pairs; those without a query stay empty.
        limits: of the colours, in percent; ``None``: the lowest and the highest value.
        title: of the panel.
    """
    from matplotlib.ticker import MaxNLocator

    low, high = (np.nanmin(table.values), np.nanmax(table.values)) if limits is None else limits
    image = axes.imshow(table.values, cmap="viridis", vmin=low, vmax=high, aspect="auto")
    dress(axes, title=title, x="camera of the matches", y="camera of the queries")
    axes.grid(False)
    for axis, cameras in ((axes.xaxis, table.columns), (axes.yaxis, table.rows)):
        if cameras.size <= _MOST_WITH_NUMBERS:
            axis.set_ticks(range(cameras.size), labels=[str(camera) for camera in cameras.tolist()])
        else:
            axis.set_major_locator(MaxNLocator(nbins=12, integer=True))
            axis.set_major_formatter(_camera_names(cameras))
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("mAP (%)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if max(table.values.shape) <= _MOST_WITH_NUMBERS:
        _write_numbers(axes, table, low, high)


def _write_numbers(axes: Axes, table: CameraTable, low: float, high: float) -> None:
    few = max(table.values.shape) <= 8
    for row, column in np.argwhere(np.isfinite(table.values)).tolist():
        value = table.values[row, column]
        bright = high > low and (value - low) / (high - low) > 0.55
        look = {"color": "#000000" if bright else "#FFFFFF", "ha": "center"}
        axes.text(column, row, f"{value:.0f}", va="bottom" if not few else "baseline", fontsize=8 if few else 7, **look)
        axes.text(column, row + 0.08, f"{table.queries[row, column]}", va="top", fontsize=6 if few else 5, **look)


def _camera_names(cameras: np.ndarray) -> Any:
    """Return a formatter that says which camera is at a place of an axis."""
    from matplotlib.ticker import FuncFormatter

    def name(place: float, _: int) -> str:
        return str(cameras[int(place)]) if place == int(place) and 0 <= place < cameras.size else ""

    return FuncFormatter(name)
