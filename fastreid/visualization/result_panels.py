"""The panels of results: each function draws one quantity into the axes it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import COLOURS, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fill_rates", "fill_scores"]

_HIGHEST_FLOOR = 0.1  # of an axis of false rates: at least a decade is shown
_HEADROOM = 1.15  # above the highest bar, for the legend


def fill_rates(
    axes: Axes,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    looks: Sequence[Mapping[str, Any]],
    *,
    title: str,
    x: str,
    y: str,
) -> None:
    """Draw true rates against false rates, which have a logarithmic axis down to the smallest that is not 0.

    Of the points at a false rate of 0, the best is drawn at the left end of the axis.

    Args:
        axes: to draw into.
        lines: name -> ``(P,)`` false rates in ascending order and ``(P,)`` true rates, in [0, 1].
        looks: of each line, keywords of ``Axes.plot``.
        title: of the panel.
        x: what the false rates are.
        y: what the true rates are; the axis counts in percent.

    Raises:
        ValueError: if there is no line, or the numbers are no rates.
    """
    from matplotlib.ticker import NullFormatter, PercentFormatter

    if not lines:
        raise ValueError(f"{title}: there is no line to draw")
    curves = {name: _checked_rates(name, *line) for name, line in lines.items()}
    floor = min([_HIGHEST_FLOOR, *(false[false > 0].min() for false, _ in curves.values() if (false > 0).any())])
    for (name, (false, true)), look in zip(curves.items(), looks, strict=True):
        above = false > 0
        if not above.all():
            false = np.append(floor, false[above])
            true = np.append(true[~above].max(), true[above])
        axes.plot(false, true, label=name, **look)
    axes.set_xscale("log")
    axes.set_xlim(floor, 1)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    dress(axes, title=title, x=x, y=f"{y} (%)")


def fill_scores(
    axes: Axes,
    edges: np.ndarray,
    genuine: np.ndarray,
    impostor: np.ndarray,
    *,
    threshold: float | None = None,
    title: str = "",
    x: str = "score",
) -> None:
    """Draw how the scores of genuine pairs and of impostors are distributed, each with an area of 1.

    Args:
        axes: to draw into.
        edges: ``(B + 1,)`` of the bars, ascending.
        genuine: ``(B,)`` pairs in each bar.
        impostor: likewise.
        threshold: drawn as a line; ``None``: none.
        title: of the panel.
        x: what the scores are.

    Raises:
        ValueError: if the lengths do not fit, a number is negative or not finite, or there is no pair.
    """
    edges, genuine, impostor = (np.asarray(values, dtype=np.float64) for values in (edges, genuine, impostor))
    _check_histogram(edges, genuine, impostor)
    highest = 0.0
    kinds = (("genuine", genuine, COLOURS[0], "-"), ("impostor", impostor, COLOURS[1], "--"))
    for name, counts, colour, style in kinds:
        if not counts.any():
            continue
        density = counts / (counts.sum() * np.diff(edges))
        highest = max(highest, float(density.max()))
        if name == "genuine":
            axes.stairs(density, edges, fill=True, color=colour, alpha=0.2)
        axes.stairs(density, edges, color=colour, linestyle=style, linewidth=1.5, label=name)
    if threshold is not None:
        look = {"color": "#000000", "linestyle": ":", "linewidth": 1.3}
        axes.axvline(threshold, ymax=1 / _HEADROOM, label=f"threshold {threshold:.3f}", **look)
    axes.set_ylim(0, _HEADROOM * highest)
    dress(axes, title=title, x=x, y="density")
    axes.legend(
        loc="upper center", ncols=3, fontsize=7, frameon=False, handlelength=2.2, columnspacing=1.2, borderaxespad=0.1
    )


def _checked_rates(name: str, false: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    false, true = np.asarray(false, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if false.ndim != 1 or false.shape != true.shape or not false.size:
        raise ValueError(
            f"{name!r}: rates must be two arrays of the same length (P,), got {false.shape} and {true.shape}"
        )
    for rates in (false, true):
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"{name!r}: rates must be in [0, 1], got {rates.min()} to {rates.max()}")
    if (np.diff(false) < 0).any():
        raise ValueError(f"{name!r}: false rates must be in ascending order; sort the points by them")
    return false, true


def _check_histogram(edges: np.ndarray, genuine: np.ndarray, impostor: np.ndarray) -> None:
    if genuine.ndim != 1 or genuine.shape != impostor.shape or edges.shape != (genuine.size + 1,):
        raise ValueError(
            "scores need B bars of both kinds, (B,), and the edges around them, (B + 1,); got "
            f"{genuine.shape}, {impostor.shape} and edges {edges.shape}"
        )
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ValueError(f"the edges of bars must be finite and rise, got {edges}")
    counts = np.concatenate([genuine, impostor])
    if not np.isfinite(counts).all() or (counts < 0).any() or not counts.any():
        raise ValueError("the bars must count pairs, at least one: numbers that are finite and not negative")
