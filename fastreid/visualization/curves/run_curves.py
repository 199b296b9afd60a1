"""Draw the curves of runs: a panel a quantity, a colour a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ..style import PANEL, STYLES, colours, dress, figure_with_legend
from .run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DEFAULT_METRICS", "choose_scalars", "draw_runs", "moving_mean"]

# Evaluation results, by the last part of their name: they and the rates are points of their own, never smoothed.
_RESULTS = ("mAP", "Rank-1", "mINP", "Acc@1", "metric")
_NOT_NOISY = (*_RESULTS, "Rank-*", "Acc@*", "Recall@*", "TPR@*", "lr")
DEFAULT_METRICS = (
    "total_loss", "*loss*", "*accuracy*", "lr", "lr/*", "grad_norm",
    *(pattern for name in _RESULTS[:3] for pattern in (name, f"*/{name}")),
    "Acc@1", "*/Acc@1", "images_per_second", "data_wait",
)  # fmt: skip
_UNITS = {
    "cls_accuracy": "share",
    "data_time": "seconds",
    "data_wait": "share of the time",
    "eta_seconds": "seconds",
    "images_per_second": "images / s",
    "lr": "learning rate",
    "max_mem_mib": "MiB",
    "rss_mib": "MiB",
    "time": "seconds / iteration",
    **dict.fromkeys(("mAP", "mINP", "metric", "Rank-1", "Rank-5", "Rank-10", "Acc@1", "Acc@5"), "%"),
}
_COLUMNS = 3


def choose_scalars(names: Sequence[str], patterns: Sequence[str] | None = None) -> list[str]:
    """Return the scalars that match, in the order of the patterns.

    Args:
        names: all that there are.
        patterns: names, or patterns such as ``loss_*``; ``None``: :data:`DEFAULT_METRICS`, or all if none of them is
            there.

    Raises:
        ValueError: if a pattern matches nothing.
    """
    chosen: dict[str, None] = {}
    for pattern in patterns or DEFAULT_METRICS:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if patterns and not found:
            raise ValueError(f"--metrics {pattern!r} matches no scalar; there are: {', '.join(names)}")
        chosen.update(dict.fromkeys(found))
    return list(chosen) or list(names)


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of the ``window`` values around each, of fewer at the ends; NaN is left out, and stays NaN.

    Args:
        values: ``(P,)`` float.
        window: number of values, at least 1; of an even one the further value is before.

    Example:
        >>> moving_mean(np.array([1.0, 2.0, 6.0]), 3)
        array([1.5, 3. , 4. ])
    """
    if window < 1:
        raise ValueError(f"--smooth must be at least 1 value (1: off), got {window}")
    known = np.isfinite(values)
    total = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    first = np.maximum(np.arange(len(values)) - window // 2, 0)
    end = np.minimum(np.arange(len(values)) + (window + 1) // 2, len(values))
    number = count[end] - count[first]
    means = (total[end] - total[first]) / np.maximum(number, 1)
    return np.where(known, means, np.nan)


def draw_runs(
    runs: Sequence[RunRecord],
    *,
    metrics: Sequence[str] | None = None,
    x: str | None = None,
    smooth: int = 1,
) -> Figure:
    """Draw a panel for each quantity, with one colour for each run.

    ``lr`` and ``lr/heads`` share a panel, and so do ``a/mAP`` and ``b/mAP``, each with its own line style. Equal curves
    of a run in a panel are drawn once.

    Args:
        runs: at least one.
        metrics: names of scalars, or patterns; ``None``: losses, accuracy, rates, results and speed.
        x: ``iteration``, or ``epoch``; ``None``: epochs where every run tells how long one is.
        smooth: mean over that many written values; 1: none. The values themselves stay, pale. Results and learning
            rates are drawn as they are.

    Raises:
        ValueError: if an argument does not fit, or a run does not tell how long an epoch is.
    """
    if x not in (None, "iteration", "epoch"):
        raise ValueError(f"x must be iteration or epoch, got {x!r}")
    unknown = [run.name for run in runs if not run.iters_per_epoch]
    if x == "epoch" and unknown:
        raise ValueError(f"{', '.join(unknown)}: no run.json tells how many iterations an epoch has; use --x iteration")
    x = x or ("iteration" if unknown else "epoch")
    moving_mean(np.empty(0), smooth)  # refuses a wrong window
    panels: dict[str, list[str]] = {}
    for name in choose_scalars(sorted({name for run in runs for name in run.scalars()}), metrics):
        panels.setdefault(_panel(name), []).append(name)

    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    looks = [{"color": colour, "linewidth": 3} for colour in colours(len(runs))]
    figure = figure_with_legend(columns * PANEL[0], rows * PANEL[1], [run.name for run in runs], looks)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, (title, names) in zip(axes, panels.items()):
        _draw_panel(panel, title, names, runs, x=x, smooth=smooth)
    last = max(float(_places(np.array([max(run.rows)]), run, x)[0]) for run in runs)
    for panel in axes[: len(panels)]:
        panel.set_xlim(-0.02 * last, 1.02 * last or 1)  # the same for all, so that one can look from panel to panel
    for panel in axes[len(panels) :]:
        panel.remove()
    return figure


def _places(iterations: np.ndarray, run: RunRecord, x: str) -> np.ndarray:
    """Return where 0-based iterations are on the axis; after the last one of the first epoch, 1.0 epochs are done."""
    return (iterations + 1) / run.iters_per_epoch if x == "epoch" else iterations


def _panel(name: str) -> str:
    """Return the title of the panel that a scalar belongs to."""
    return "lr" if name.startswith("lr/") else name.rpartition("/")[2]


def _is_noisy(title: str) -> bool:
    return not any(fnmatchcase(title, pattern) for pattern in _NOT_NOISY)


def _draw_panel(
    axes: Axes, title: str, names: Sequence[str], runs: Sequence[RunRecord], *, x: str, smooth: int
) -> None:
    from matplotlib.ticker import MaxNLocator

    shown: dict[str, str] = {}  # scalar -> line style, of those with a curve of their own
    extremes: list[float] = []
    for run, colour in zip(runs, colours(len(runs))):
        drawn: list[tuple[np.ndarray, np.ndarray]] = []
        for name in names:
            iterations, values = run.series(name)
            if not len(values) or any(
                np.array_equal(iterations, i) and np.array_equal(values, v, equal_nan=True) for i, v in drawn
            ):
                continue
            drawn.append((iterations, values))
            extremes += [float(value) for value in values[np.isfinite(values)]]
            style = shown.setdefault(name, STYLES[len(shown) % len(STYLES)])
            _draw_curve(
                axes, _places(iterations, run, x), values, colour, style, smooth=smooth if _is_noisy(title) else 1
            )
    dress(axes, title=title if len(names) > 1 else names[0], x=x, y=_UNITS.get(title, ""))
    if title == "lr" and extremes and min(extremes) > 0 and max(extremes) > 30 * min(extremes):
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(min(extremes), 1e-4 * max(extremes)) / 1.5)  # a cosine ends at nearly nothing
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    if len(shown) > 1:
        _line_legend(axes, shown)


def _draw_curve(axes: Axes, where: np.ndarray, values: np.ndarray, colour: Any, style: str, *, smooth: int) -> None:
    few = len(values) <= 30
    marker: dict[str, Any] = {"marker": "o", "markersize": 3.5} if few and smooth == 1 else {}
    if smooth > 1:
        axes.plot(where, values, color=colour, linewidth=0.8, alpha=0.35)
        values = moving_mean(values, smooth)
    axes.plot(where, values, color=colour, linestyle=style, linewidth=1.5, **marker)


def _line_legend(axes: Axes, shown: dict[str, str]) -> None:
    """Say in a panel which scalar has which line."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="#444444", linestyle=style, label=name) for name, style in shown.items()]
    axes.legend(handles=handles, fontsize=7, framealpha=0.85, handlelength=2.4, loc="best")
