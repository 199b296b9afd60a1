"""Figures of results, each of one quantity of one or several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..style import figure_with_legend, line_looks
from .camera_map import camera_map_size, camera_table, fill_cameras
from .result_panels import fill_cmc, fill_precisions, fill_rates, fill_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RATE_AXES",
    "draw_cameras",
    "draw_cmc",
    "draw_dir",
    "draw_precisions",
    "draw_roc",
    "draw_scores",
]

RATE_AXES = {
    "roc": {"title": "ROC", "x": "FPR, false positive rate", "y": "TPR"},
    "dir": {"title": "Open set: DIR at FAR", "x": "FAR, false alarm rate", "y": "DIR"},
}
"""Title and axes of curves of rates."""

_SIZE = (5.6, 3.9)  # inches


def draw_roc(lines: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw ROC curves with a logarithmic axis of false positive rates, down to the smallest that is not 0.

    Args:
        lines: name -> false positive rates ``(P,)`` in ascending order and true positive rates ``(P,)``, in [0, 1], as
            ``sklearn.metrics.roc_curve`` returns them. With one line and an empty name there is no legend.

    Raises:
        ValueError: if there is no line, or the numbers are no rates.
    """
    figure, looks = _figure(lines)
    fill_rates(figure.subplots(), lines, looks, **RATE_AXES["roc"])
    return figure


def draw_dir(lines: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the detection and identification rate of open-set searches against their false alarms, logarithmic.

    Args:
        lines: name -> false alarm rates ``(P,)`` in ascending order and DIR ``(P,)``, in [0, 1], as
            ``identification_curve`` returns them. With one line and an empty name there is no legend.

    Raises:
        ValueError: if there is no line, or the numbers are no rates.
    """
    figure, looks = _figure(lines)
    fill_rates(figure.subplots(), lines, looks, **RATE_AXES["dir"])
    return figure


def draw_scores(
    edges: np.ndarray, genuine: np.ndarray, impostor: np.ndarray, *, threshold: float | None = None, name: str = ""
) -> Figure:
    """Draw the distributions of the scores of genuine pairs and of impostors as densities.

    Args:
        edges: ``(B + 1,)`` of the bars, ascending, as ``numpy.histogram`` returns them; they may differ in width.
        genuine: ``(B,)`` pairs in each bar.
        impostor: likewise.
        threshold: drawn as a line with its value; ``None``: none.
        name: the title.

    Raises:
        ValueError: if the lengths do not fit, a number is negative or not finite, or there is no pair.
    """
    figure = figure_with_legend(*_SIZE)
    fill_scores(figure.subplots(), edges, genuine, impostor, threshold=threshold, title=name)
    return figure


def draw_cmc(lines: Mapping[str, np.ndarray]) -> Figure:
    """Draw CMC curves: the share of queries with a true match among the first k.

    Args:
        lines: name -> ``(K,)`` in percent, of ranks 1 to K. With one line and an empty name there is no legend.

    Raises:
        ValueError: if there is no line, or the numbers are no CMC curve.
    """
    figure, looks = _figure(lines)
    fill_cmc(figure.subplots(), lines, looks, title="CMC")
    return figure


def draw_precisions(values: Mapping[str, np.ndarray]) -> Figure:
    """Draw how many queries have which average precision.

    Args:
        values: name -> ``(Q,)`` in [0, 1], NaN for a query without a true match, which is left out. With one line and
            an empty name there is no legend.

    Raises:
        ValueError: if there is no line, or the numbers are no average precisions.
    """
    figure, looks = _figure(values)
    fill_precisions(figure.subplots(), values, looks, title="Average precision")
    return figure


def draw_cameras(pairs: Sequence[Mapping[str, Any]], *, name: str = "") -> Figure:
    """Draw a heat map of the mean average precision of pairs of cameras.

    Args:
        pairs: ``query_camera``, ``gallery_camera``, ``mAP`` (percent) and ``queries`` of each, as ``by_camera_pair``
            returns them; other pairs stay empty.
        name: the title.

    Raises:
        ValueError: if there is no pair.
    """
    table = camera_table(pairs)
    figure = figure_with_legend(*camera_map_size(table))
    fill_cameras(figure.subplots(), table, title=name)
    return figure


def _figure(lines: Mapping[str, Any]) -> tuple[Figure, list[dict[str, Any]]]:
    """Return a figure with a legend of the lines, and how these look."""
    looks = line_looks(len(lines))
    return figure_with_legend(*_SIZE, [] if set(lines) == {""} else list(lines), looks), looks
