"""All curves of the evaluations of one or several runs on a test set, in one figure."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..style import PANEL, figure_with_legend, line_looks, shortened
from .camera_map import CameraTable, camera_map_size, camera_table, fill_cameras
from .result_curves import RATE_AXES
from .result_panels import fill_cmc, fill_precisions, fill_rates, fill_scores
from .result_record import PANELS, ResultRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_results"]

logger = logging.getLogger(__name__)

_COLUMNS = 3
_TITLE_LETTERS = 22  # of a run's name
_LEAST_SHARE = 0.25  # of an axis that several distributions of scores share, for the narrowest

_Fill = Callable[["Axes"], None]  # draws a panel


class _Section(NamedTuple):
    """Panels of one size."""

    size: tuple[float, float]  # inches
    fills: list[_Fill]


def draw_results(records: Sequence[ResultRecord], *, panels: Sequence[str] | None = None) -> Figure:
    """Draw the evaluations of runs on a test set: a look a run; scores and maps of cameras in a panel for each.

    What a run lacks is a warning that says why and what would do; the rest is drawn.

    Args:
        records: of one test set, with different names.
        panels: of :data:`~fastreid.visualization.curves.result_record.PANELS`; ``None``: all that some run has.

    Raises:
        ValueError: if there is no record, names are equal, there is no such panel, a panel was named which no run has,
            or nothing to draw.
    """
    names = [record.name for record in records]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"there must be evaluations to draw, with different names, got {', '.join(names) or 'none'}")
    chosen = _choose_panels(records, panels)
    sections = _sections(records, chosen)
    width = max(own.size[0] * (_columns(len(own.fills)) if own.size == PANEL else 1) for own in sections)
    columns = [
        _columns(len(own.fills)) if own.size == PANEL else min(len(own.fills), int(width / own.size[0] + 1e-9))
        for own in sections
    ]
    heights = [own.size[1] * math.ceil(len(own.fills) / count) for own, count in zip(sections, columns)]
    figure = figure_with_legend(width, sum(heights), names, line_looks(len(records)), title=records[0].label)
    parts = np.ravel(figure.subfigures(len(sections), 1, height_ratios=heights))
    for part, section, count in zip(parts, sections, columns):
        axes = part.subplots(math.ceil(len(section.fills) / count), count, squeeze=False).flatten()
        for panel, fill in zip(axes, section.fills):
            fill(panel)
        for panel in axes[len(section.fills) :]:
            panel.remove()
    return figure


def _choose_panels(records: Sequence[ResultRecord], panels: Sequence[str] | None) -> list[str]:
    """Return the panels that some run has; warn of what is missing."""
    unknown = [panel for panel in panels or () if panel not in PANELS]
    if unknown:
        raise ValueError(f"--panels: there is no {', '.join(unknown)}, only {', '.join(PANELS)}")
    wanted = [panel for panel in PANELS if panels is None or panel in panels]
    missing = {panel: {record.name: record.missing(panel) for record in records} for panel in wanted}
    chosen = [panel for panel in wanted if not all(missing[panel].values())]
    told = {}  # one line for all panels that a run lacks for the same reason
    for panel in wanted:
        for name, why in missing[panel].items():
            if why:
                told.setdefault((name, why), []).append(panel)
    lines = [f"{name}: no {', '.join(lacking)}: {why}" for (name, why), lacking in told.items()]
    if not chosen or (panels is not None and len(chosen) < len(wanted)):
        raise ValueError(f"{records[0].label}: cannot be drawn: {'; '.join(lines)}")
    for line in lines:
        logger.warning("%s: %s", records[0].label, line)
    first = [record.name for record in records if record.is_first_split]
    if first and {"roc", "dir", "scores"} & set(chosen):
        logger.warning(
            "%s: pairs and thresholds of %s are those of the first split", records[0].label, ", ".join(first)
        )
    return chosen


def _sections(records: Sequence[ResultRecord], panels: Sequence[str]) -> list[_Section]:
    """Return the panels by size: those of all runs together, then those of each run."""
    together = [panel for panel in panels if panel not in ("scores", "cameras")]
    sections = [
        _Section(PANEL, [partial(_fill_curves, panel, records) for panel in together]),
        _Section(PANEL, _scores(records) if "scores" in panels else []),
        _cameras(records) if "cameras" in panels else _Section(PANEL, []),
    ]
    if len(records) == 1:
        usual = [fill for own in sections if own.size == PANEL for fill in own.fills]
        sections = [_Section(PANEL, usual), *(own for own in sections if own.size != PANEL)]
    return [own for own in sections if own.fills]


def _fill_curves(panel: str, records: Sequence[ResultRecord], axes: Axes) -> None:
    """Draw a curve of each run that has one; a run looks the same in all panels."""
    known = [(own, look) for own, look in zip(records, line_looks(len(records))) if not own.missing(panel)]
    runs, looks = [own for own, _ in known], [look for _, look in known]
    if panel == "cmc":
        fill_cmc(axes, {own.name: own.cmc() for own in runs}, looks, title="CMC")
    elif panel == "ap":
        fill_precisions(axes, {own.name: own.precisions for own in runs}, looks, title="Average precision")
    else:
        words = dict(RATE_AXES[panel])
        words["title"] += _of_split(runs)
        points = [own.operating_points(panel) for own in runs]
        fill_rates(axes, {own.name: own.rates(panel) for own in runs}, looks, points=points, **words)


def _scores(records: Sequence[ResultRecord]) -> list[_Fill]:
    """Return what draws the scores of each run; the axes of the same kind of scores are the same."""
    known = [own for own in records if not own.missing("scores")]
    ranges = {own.name: _score_range(own) for own in known}

    def fill(own: ResultRecord, axes: Axes) -> None:
        title = _title("Scores", own, records) + _of_split([own])
        fill_scores(axes, *own.scores(), threshold=own.threshold, title=title, x=own.score_name)
        alike = np.array([ranges[other.name] for other in known if other.score_name == own.score_name])
        low, high = alike[:, 0].min(), alike[:, 1].max()
        if (alike[:, 1] - alike[:, 0]).min() < _LEAST_SHARE * (high - low):  # one of them would be a needle
            low, high = ranges[own.name]
        axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))

    return [partial(fill, own) for own in known]


def _score_range(own: ResultRecord) -> tuple[float, float]:
    values = [*own.scores()[0], *([] if own.threshold is None else [own.threshold])]
    return min(values), max(values)


def _cameras(records: Sequence[ResultRecord]) -> _Section:
    """Return what draws the cameras of each run, with the same colours for the same numbers."""
    known = [(own, camera_table(own.camera_pairs()[0])) for own in records if not own.missing("cameras")]
    sizes = [camera_map_size(table) for _, table in known]
    values = np.concatenate([table.values[np.isfinite(table.values)] for _, table in known])
    limits = float(values.min()), float(values.max())

    def fill(own: ResultRecord, table: CameraTable, axes: Axes) -> None:
        shown, count = len(own.camera_pairs()[0]), own.camera_pairs()[1]
        part = f" ({shown} worst of {count} pairs)" if shown < count else ""
        fill_cameras(axes, table, limits=limits, title=_title("Cameras", own, records) + part)

    size = max(width for width, _ in sizes), max(height for _, height in sizes)
    return _Section(size, [partial(fill, own, table) for own, table in known])


def _title(what: str, own: ResultRecord, records: Sequence[ResultRecord]) -> str:
    return what if len(records) == 1 else f"{what}: {shortened(own.name, _TITLE_LETTERS)}"


def _of_split(records: Sequence[ResultRecord]) -> str:
    return " (first split)" if any(own.is_first_split for own in records) else ""


def _columns(count: int) -> int:
    """Return in how many columns so many panels leave the smallest gap."""
    return 2 if count == 4 else min(count, _COLUMNS)
