"""Pictures and files of ROC curves, as FastReID v1.3 called them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..style import line_looks
from .result_curves import draw_roc, draw_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ROC_INFO", "load_roc_info", "plot_distribution", "plot_roc_curve", "save_jpeg", "save_roc_info"]

ROC_INFO = "roc_info.pickle"
"""v1.3's name of the file; what is in it is no pickle but what ``numpy.savez`` writes."""

_ARRAYS = ("fpr", "tpr", "pos", "neg")
_BARS = 200


def plot_roc_curve(fpr: np.ndarray, tpr: np.ndarray, name: str = "model", fig: Figure | None = None) -> Figure:
    """Draw a ROC curve.

    Args:
        fpr: ``(T,)`` false positive rates in [0, 1], ascending.
        tpr: ``(T,)`` true positive rates.
        name: for the legend.
        fig: a figure of this function, which gets one more line; ``None``: a new one.

    Returns:
        The figure.
    """
    if fig is None:
        return draw_roc({name: (np.asarray(fpr), np.asarray(tpr))})
    axes = fig.axes[0]
    fpr = np.asarray(fpr)
    axes.plot(fpr, tpr, label=name, **line_looks(len(axes.lines) + 1)[-1])
    axes.set_xlim(left=min(axes.get_xlim()[0], fpr[fpr > 0].min(initial=1)))  # the axis is logarithmic
    _legend_inside(fig)
    return fig


def plot_distribution(pos: np.ndarray, neg: np.ndarray, name: str = "model", fig: Figure | None = None) -> Figure:
    """Draw how the scores of genuine pairs and of impostors are distributed.

    Args:
        pos: ``(P,)`` scores of genuine pairs.
        neg: ``(N,)`` scores of impostors.
        name: the title; of a further model, for the legend.
        fig: a figure of this function, which gets the lines of one more model; ``None``: a new one.

    Returns:
        The figure.
    """
    edges = np.histogram_bin_edges(np.concatenate([pos, neg]), _BARS)
    genuine, impostor = (np.histogram(scores, edges)[0] for scores in (pos, neg))
    if fig is None:
        return draw_scores(edges, genuine, impostor, name=name)
    axes = fig.axes[0]
    look = line_looks(len(axes.lines) // 2 + 3)[-1]
    for kind, counts, style in (("genuine", genuine, "-"), ("impostor", impostor, "--")):
        density = counts / (counts.sum() * np.diff(edges))
        middles = (edges[1:] + edges[:-1]) / 2
        axes.plot(middles, density, drawstyle="steps-mid", color=look["color"], linestyle=style, label=f"{name} {kind}")
    axes.relim()
    axes.set_ylim(0, None)
    axes.autoscale_view()
    _legend_inside(fig)
    return fig


def save_jpeg(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Save a figure as a JPEG file; its folder is made if it is not there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="jpg", dpi=150, facecolor="white", pil_kwargs={"quality": 92})


def save_roc_info(
    output: str | os.PathLike[str], fpr: np.ndarray, tpr: np.ndarray, pos: np.ndarray, neg: np.ndarray
) -> Path:
    """Write a ROC curve and the scores behind it into a folder, as :data:`ROC_INFO`.

    Args:
        output: the folder, is made if it is not there.
        fpr: ``(T,)`` false positive rates.
        tpr: ``(T,)`` true positive rates.
        pos: ``(P,)`` scores of genuine pairs.
        neg: ``(N,)`` scores of impostors.

    Returns:
        The file. ``numpy.load`` reads it, too.
    """
    path = Path(output, ROC_INFO)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # numpy would add .npz to a name
        np.savez_compressed(file, **dict(zip(_ARRAYS, map(np.asarray, (fpr, tpr, pos, neg)), strict=True)))
    return path


def load_roc_info(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read what :func:`save_roc_info` has written.

    Returns:
        ``fpr``, ``tpr``, ``pos`` and ``neg``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a pickle, as v1.3 wrote them, or something else: a pickle may run any code when it is read.
    """
    if not zipfile.is_zipfile(path):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no file {path}")
        raise ValueError(
            f"{path} is not what save_roc_info writes. FastReID v1.3 wrote pickles, which may run any code when they "
            "are read, so none is read here; draw the curve anew, or convert a file that you trust with pickle.load "
            "and save_roc_info"
        )
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in _ARRAYS if name not in file]
        if missing:
            raise ValueError(f"{path} has no {', '.join(missing)}; it is not what save_roc_info writes")
        return {name: file[name] for name in _ARRAYS}


def _legend_inside(figure: Figure) -> None:
    """Let the panel's own legend name all lines, in place of one above it."""
    for legend in list(figure.legends):
        legend.remove()
    figure.axes[0].legend(fontsize=8, framealpha=0.85, handlelength=2.4)
