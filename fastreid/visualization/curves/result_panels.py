"""The panels of results: each function draws one quantity into the axes it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..style import COLOURS, dress
from .result_record import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["fill_cmc", "fill_precisions", "fill_rates", "fill_scores", "precision_bars"]

_HIGHEST_FLOOR = 0.1  # of an axis of false rates: at least a decade is shown
_MARGIN = 1.15  # of a logarithmic axis, left of a point that is marked
_MOST_WITH_INTERVALS = 3  # lines
_BESIDE = 4.0  # pt, between the intervals of two lines
_PRECISION_BARS = 20
_HEADROOM = 1.15  # above the highest bar, for the legend

# whether a point is the chosen one -> keywords of its marker
_POINT_LOOKS: dict[bool, dict[str, Any]] = {
    False: {"marker": "o", "markersize": 5, "markerfacecolor": "#FFFFFF"},
    True: {"marker": "*", "markersize": 11, "markeredgecolor": "#222222", "markeredgewidth": 0.6},
}


def fill_rates(
    axes: Axes,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    looks: Sequence[Mapping[str, Any]],
    *,
    title: str,
    x: str,
    y: str,
    points: Sequence[Sequence[OperatingPoint]] = (),
) -> None:
    """Draw true rates against false rates, which have a logarithmic axis down to the smallest that is not 0.

    Of the points at a false rate of 0, the best is drawn at the smallest of all lines that is not 0.

    Args:
        axes: to draw into.
        lines: name -> ``(P,)`` false rates in ascending order and ``(P,)`` true rates, in [0, 1].
        looks: of each line, keywords of ``Axes.plot``.
        title: of the panel.
        x: what the false rates are.
        y: what the true rates are; the axis counts in percent.
        points: of each line, those that are marked; their intervals are drawn while there are few lines.

    Raises:
        ValueError: if there is no line, or the numbers are no rates.
    """
    from matplotlib.ticker import NullFormatter, PercentFormatter

    if not lines:
        raise ValueError(f"{title}: there is no line to draw")
    curves = {name: _checked_rates(name, *line) for name, line in lines.items()}
    false_rates = np.concatenate([false for false, _ in curves.values()])
    floor = min(_HIGHEST_FLOOR, false_rates[false_rates > 0].min(initial=1))
    for (name, (false, true)), look in zip(curves.items(), looks, strict=True):
        above = false > 0
        if not above.all():
            false = np.append(floor, false[above])
            true = np.append(true[~above].max(), true[above])
        axes.plot(false, true, label=name, **look)
    for i, (own, look) in enumerate(zip(points, looks)):
        _mark_points(axes, own, look["color"])
        if len(lines) <= _MOST_WITH_INTERVALS:
            _draw_intervals(axes, own, look["color"], beside=_BESIDE * (i - (len(lines) - 1) / 2))
    axes.set_xscale("log")
    axes.set_xlim(min([floor, *(point.false / _MARGIN for own in points for point in own)]), 1)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    dress(axes, title=title, x=x, y=f"{y} (%)")
    if any(points):
        _point_legend(axes, [point for own in points for point in own])


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


def fill_cmc(axes: Axes, lines: Mapping[str, np.ndarray], looks: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Draw CMC curves.

    Args:
        axes: to draw into.
        lines: name -> ``(K,)`` in percent, of ranks 1 to K.
        looks: of each line, keywords of ``Axes.plot``.
        title: of the panel.

    Raises:
        ValueError: if there is no line, or the numbers are no CMC curve.
    """
    if not lines:
        raise ValueError(f"{title}: there is no line to draw")
    lowest, longest = 100.0, 1
    for (name, values), look in zip(lines.items(), looks, strict=True):
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 100.001)).all():
            raise ValueError(f"{name!r}: a CMC curve must be (K,) numbers in percent, got {values}")
        axes.plot(np.arange(1, values.size + 1), values, label=name, **look)
        lowest, longest = min(lowest, values[0]), max(longest, values.size)
    axes.set_xlim(1 - 0.02 * longest, longest)
    axes.set_xticks([rank for rank in (1, 5, *range(10, longest + 1, 10)) if rank <= longest])
    room = max(100 - lowest, 1)
    axes.set_ylim(max(0, lowest - 0.1 * room), 100 + 0.03 * room)
    dress(axes, title=title, x="rank", y="queries found (%)")


def precision_bars(precisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the queries by their average precision.

    Args:
        precisions: ``(Q,)`` in [0, 1]; NaN, a query without a true match, is left out.

    Returns:
        ``(21,)`` edges in percent, from 0 to 100, and ``(20,)`` int64 queries between them; a query on an edge counts
        above it, one of 100 % in the last bar.

    Raises:
        ValueError: if a number is out of its range, or there is none.
    """
    known = np.asarray(precisions, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size or known.min() < 0 or known.max() > 1 + 1e-6:
        raise ValueError(f"average precisions must be in [0, 1], at least one, got {precisions}")
    edges = np.linspace(0, 100, _PRECISION_BARS + 1)
    counts, _ = np.histogram(np.minimum(100 * known, 100), edges)
    return edges, counts


def fill_precisions(
    axes: Axes, values: Mapping[str, np.ndarray], looks: Sequence[Mapping[str, Any]], *, title: str
) -> None:
    """Draw how many queries have which average precision: the histogram of each run as a line of steps.

    Args:
        axes: to draw into.
        values: name -> ``(Q,)`` in [0, 1], see :func:`precision_bars`.
        looks: of each line, keywords of ``Axes.plot``.
        title: of the panel.

    Raises:
        ValueError: if there is no line, or the numbers are no average precisions.
    """
    if not values:
        raise ValueError(f"{title}: there is no line to draw")
    for (name, own), look in zip(values.items(), looks, strict=True):
        edges, counts = precision_bars(own)
        axes.plot(edges, np.append(counts, counts[-1]), drawstyle="steps-post", label=name, **look)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    dress(axes, title=title, x="average precision (%)", y="queries")


def _mark_points(axes: Axes, points: Sequence[OperatingPoint], colour: Any) -> None:
    for false, true, _, chosen in points:
        axes.plot([false], [true], color=colour, linestyle="", zorder=4 + chosen, **_POINT_LOOKS[chosen])


def _draw_intervals(axes: Axes, points: Sequence[OperatingPoint], colour: Any, *, beside: float) -> None:
    """Draw the intervals a few pt ``beside`` their points, so that those of several lines do not cover each other."""
    from matplotlib.transforms import offset_copy

    where = offset_copy(axes.transData, fig=axes.figure, x=beside, units="points")
    bounds = {point.false: point.interval for point in points if point.interval is not None}
    for false, interval in bounds.items():
        axes.plot([false, false], interval, color=colour, linewidth=1.2, transform=where, zorder=3)


def _point_legend(axes: Axes, points: Sequence[OperatingPoint]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color="#444444", linestyle="", label=label, **_POINT_LOOKS[chosen])
        for label, chosen in (("operating point", False), ("chosen threshold", True))
        if any(point.chosen == chosen for point in points)
    ]
    axes.legend(handles=handles, fontsize=7, framealpha=0.85, loc="best")


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
