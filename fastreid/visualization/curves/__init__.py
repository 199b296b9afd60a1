"""Curves of evaluations (``result_*``) and of runs while they train (``run_*``)."""

from __future__ import annotations

from .result_curves import draw_cameras, draw_cmc, draw_dir, draw_precisions, draw_roc, draw_scores
from .result_figure import draw_results
from .result_record import ResultRecord, read_evaluations
from .run_curves import draw_runs
from .run_record import RunRecord, read_runs

__all__ = [
    "ResultRecord",
    "RunRecord",
    "draw_cameras",
    "draw_cmc",
    "draw_dir",
    "draw_precisions",
    "draw_results",
    "draw_roc",
    "draw_runs",
    "draw_scores",
    "read_evaluations",
    "read_runs",
]
