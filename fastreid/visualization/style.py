"""How all pictures look: colours and lines that are told apart with any kind of colour vision, legends, files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "PANEL",
    "STYLES",
    "colours",
    "dress",
    "figure_with_legend",
    "line_looks",
    "plain",
    "save_figure",
    "shortened",
]

# Okabe and Ito, "Color Universal Design": told apart with any kind of colour vision; yellow is too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")
PANEL = (4.2, 2.9)  # inches: width and height of a panel

_MARKERS = ("", "o", "s", "^", "D", "v")
_LETTER = 0.083  # inches, of the legend's


def colours(count: int) -> Sequence[Any]:
    """Return ``count`` colours for lines on white."""
    if count <= len(COLOURS):
        return COLOURS[:count]
    from matplotlib import colormaps

    return [colormaps["viridis"](i / (count - 1) * 0.92) for i in range(count)]  # its bright end is pale on white


def line_looks(count: int) -> list[dict[str, Any]]:
    """Return how each of ``count`` lines looks, as keywords of ``Axes.plot``: two differ in more than their colour."""
    return [
        {
            "color": colour,
            "linestyle": STYLES[i % len(STYLES)],
            "linewidth": 1.5,
            "marker": _MARKERS[i // len(STYLES) % len(_MARKERS)],
            "markersize": 4,
            "markevery": 0.15,
        }
        for i, colour in enumerate(colours(count))
    ]


def figure_with_legend(
    width: float,
    height: float,
    names: Sequence[str] = (),
    looks: Sequence[Mapping[str, Any]] = (),
    *,
    title: str = "",
) -> Figure:
    """Make an empty figure with a legend above the place for its panels.

    Args:
        width: in inches.
        height: in inches, without the legend.
        names: what the legend says; names that are too long are shortened. None: no legend.
        looks: of the line beside each name, keywords of ``Axes.plot``.
        title: above the legend.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if not names:
        return Figure(figsize=(width, height), layout="constrained")
    labels, columns = _labels(names, width)
    top = 0.1 + 0.2 * math.ceil(len(labels) / columns) + (0.25 if title else 0)  # inches
    figure = Figure(figsize=(width, height + top), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, height / (height + top)), w_pad=0.08, h_pad=0.08)
    handles = [
        Line2D([], [], label=label, **{key: value for key, value in look.items() if key != "markevery"})
        for label, look in zip(labels, looks, strict=True)
    ]
    legend = figure.legend(
        handles=handles, loc="upper center", ncols=columns, fontsize=9, frameon=False, handlelength=2.4
    )
    if title:
        legend.set_title(plain(title), prop={"size": 11, "weight": "bold"})
    return figure


def dress(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Give a panel its title, the names of its axes, a pale grid behind the data and no box."""
    axes.set_title(plain(title), fontsize=11)
    axes.set_xlabel(plain(x), fontsize=9)
    axes.set_ylabel(plain(y), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def shortened(name: str, most: int) -> str:
    """Return a name of at most ``most`` characters: what is too much is taken out of the middle.

    Runs are told apart by the end of their names or, of paths, by the beginning.
    """
    if len(name) <= most:
        return name
    start = max(0, (most - 1) // 3)
    return f"{name[:start]}…{name[len(name) - most + 1 + start :]}"


def plain(text: str) -> str:
    """Return a text as matplotlib must get it to show it as it is: it takes $ for mathematics."""
    return text.replace("$", r"\$")


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Save a figure as PNG or SVG, by the ending of the path; folders are made.

    Raises:
        ValueError: if it has another ending.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise ValueError(f"a picture must end in .png or .svg, got {str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format=kind, dpi=150, facecolor="white", metadata={"Date": None} if kind == "svg" else None)


def _labels(names: Sequence[str], width: float) -> tuple[list[str], int]:
    """Return what the legend says, and in how many columns, so that it fits into ``width`` inches."""
    most = int((width - 0.7) / _LETTER)
    labels = [shortened(name, most) for name in names]
    columns = int(width / (0.7 + _LETTER * max(map(len, labels))))
    labels = [f" {plain(label)}" for label in labels]  # matplotlib leaves labels out that begin with _
    return labels, max(1, min(columns, len(names)))
