"""Pictures of runs and results."""

from __future__ import annotations

from .result_curves import draw_roc, draw_scores
from .run_curves import draw_runs
from .run_record import RunRecord, read_runs
from .style import save_figure

__all__ = ["RunRecord", "draw_roc", "draw_runs", "draw_scores", "read_runs", "save_figure"]
