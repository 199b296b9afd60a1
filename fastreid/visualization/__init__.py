"""Pictures of runs and results."""

from __future__ import annotations

from .run_curves import draw_runs, save_figure
from .run_record import RunRecord, read_runs

__all__ = ["RunRecord", "draw_runs", "read_runs", "save_figure"]
