"""Figures of results, each of one quantity of one or several runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .result_panels import fill_rates, fill_scores
from .style import figure_with_legend, line_looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_roc", "draw_scores"]

_SIZE = (5.6, 3.9)  # inches


def draw_roc(lines: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw ROC curves with a logarithmic axis of false positive rates, down to the smallest that is not 0.

    Args:
        lines: name -> false positive rates ``(P,)`` in ascending order and true positive rates ``(P,)``, in [0, 1], as
            ``sklearn.metrics.roc_curve`` returns them. With one line and an empty name there is no legend.

    Raises:
        ValueError: if there is no line, or the numbers are no rates.
    """
    looks = line_looks(len(lines))
    figure = figure_with_legend(*_SIZE, [] if set(lines) == {""} else list(lines), looks)
    fill_rates(figure.subplots(), lines, looks, title="ROC", x="false positive rate", y="true positive rate")
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
