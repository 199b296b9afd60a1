"""A map of embeddings as a picture, and as a page that opens from disk."""

from __future__ import annotations

import colorsys
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .embed_map import COLOURED_BY, EmbedMap
from .sheets import COLUMNS, ROWS, write_sheets
from .style import colours, dress, plain, save_figure
from .thumbnails import Thumbnails, cell_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_embed_map", "write_embed_map"]

_LEGEND = 20  # names in the legend of the picture, at most
_NOBODY = "#8A8A8A"  # distractors, and what is not known
_LONGER = 128  # pixels: of the sides of a thumbnail
_PAGE = ("index.html", "map.css", "map.js", "scatter.js")


def draw_embed_map(embed_map: EmbedMap, colour: str = "identity") -> Figure:
    """Draw the map as a picture.

    Args:
        embed_map: of the images.
        colour: one of :data:`COLOURED_BY`. Of more than 20 labels the legend says only how many there are.

    Raises:
        ValueError: if it is none of these.
    """
    from matplotlib.figure import Figure

    if colour not in COLOURED_BY:
        raise ValueError(f"colour must be one of {', '.join(COLOURED_BY)}, got {colour!r}")
    column = embed_map.labels[colour]
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots()
    palette = _palette(len(column.names))
    size = float(np.clip(20_000 / max(1, len(embed_map.points)), 3, 30))
    few = len(column.names) <= _LEGEND
    for code in [-1, *range(len(column.names))]:
        own = embed_map.points[column.codes == code]
        name = "nobody" if colour == "identity" else "not known"
        if len(own):
            label = f" {plain(column.names[code] if code >= 0 else name)} ({len(own)})"
            axes.scatter(
                *own.T, s=size, color=palette[code] if code >= 0 else _NOBODY, linewidths=0, alpha=0.8, label=label
            )
    dress(axes, title=f"{embed_map.title}, {embed_map.note}")
    axes.set(xticks=[], yticks=[], aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if few:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False, title=colour, markerscale=2)
    else:
        axes.set_xlabel(f"colours: {len(column.names)} different values of {colour}, some alike", fontsize=9)
    return figure


def write_embed_map(embed_map: EmbedMap, folder: str | os.PathLike[str], *, colour: str = "identity") -> int:
    """Write the map as a picture, ``map.png``, and as a page, ``index.html``, that opens from disk in any browser.

    The page needs the files beside it, and nothing else.

    Args:
        embed_map: of the images, which are read for their thumbnails.
        folder: is made if need be; an earlier map in it is replaced.
        colour: one of :data:`COLOURED_BY`, for the picture and for the page when it opens.

    Returns:
        The number of images that could not be read; a placeholder stands for each.

    Raises:
        ValueError: if ``colour`` is none of these.
    """
    folder = Path(folder)
    figure = draw_embed_map(embed_map, colour)
    folder.mkdir(parents=True, exist_ok=True)
    thumbnails = folder / "thumbnails"
    for earlier in thumbnails.glob("[0-9]*.jpg"):
        earlier.unlink()
    codes = embed_map.labels["identity"].codes
    order = np.lexsort((codes, codes < 0))  # by identity, so that a sheet has neighbours; nobody is last
    paths = [embed_map.img_paths[place] for place in order]
    cell = _cell(paths)
    pictures = Thumbnails(paths, *cell, keep=0)
    write_sheets(len(paths), pictures, thumbnails, size=cell)
    page = resources.files(__package__) / "pages" / "embed_map"
    for name in _PAGE:
        (folder / name).write_bytes((page / name).read_bytes())
    data = _page_data(embed_map, order, colour)
    data["sheets"] = {"cell": cell, "columns": COLUMNS, "rows": ROWS, "missing": len(pictures.broken)}
    (folder / "data.js").write_text(f"window.EMBED_MAP = {_as_script(data)};\n", encoding="ascii")
    save_figure(figure, folder / "map.png")
    return len(pictures.broken)


def _cell(paths: Sequence[str]) -> tuple[int, int]:
    """Return width and height of a thumbnail that suits most images."""
    width, height = cell_size(paths)
    scale = _LONGER / max(width, height)
    return round(scale * width), round(scale * height)


def _palette(count: int) -> list[Any]:
    """Return colours: those that anybody can tell apart or, of more, hues a golden angle apart, in three shades."""
    few = colours(count) if count <= 7 else ()
    return list(few) or [
        colorsys.hls_to_rgb(number * 0.618034 % 1, (0.35, 0.5, 0.62)[number % 3], 0.7) for number in range(count)
    ]


def _page_data(embed_map: EmbedMap, order: np.ndarray, colour: str) -> dict[str, Any]:
    columns = {
        name: {"names": column.names, "codes": column.codes[order].tolist()}
        for name, column in embed_map.labels.items()
    }
    return {
        "title": embed_map.title,
        "note": embed_map.note,
        "method": embed_map.method,
        "colour": colour,
        "x": np.round(embed_map.points[order, 0], 4).tolist(),
        "y": np.round(embed_map.points[order, 1], 4).tolist(),
        "paths": [embed_map.img_paths[place] for place in order],
        "labels": columns,
    }


def _as_script(data: Any) -> str:
    """Return JSON that is a script of plain letters, also within an HTML page."""
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
