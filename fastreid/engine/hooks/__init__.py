"""What happens around the iterations of training: one hook, one file.

The order in which ``DefaultTrainer`` registers them, and why: ``IterationTimer`` first, so that it times the
step alone; ``LRScheduler``; ``LayerFreeze``; ``EvalHook`` before ``BestCheckpointer`` and ``PeriodicCheckpointer``,
which store its numbers; ``PeriodicWriter`` and ``ProgressLine`` last, because they report what the others recorded.
"""

from __future__ import annotations

from ...evaluation.testing import flatten_results_dict
from .callback import CallbackHook
from .checkpoint import BestCheckpointer, PeriodicCheckpointer
from .eval import EvalHook
from .freeze import LayerFreeze
from .lr import LRScheduler
from .progress_line import ProgressLine
from .timer import IterationTimer
from .writer import PeriodicWriter

__all__ = [
    "BestCheckpointer",
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "LayerFreeze",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "ProgressLine",
    "flatten_results_dict",
]
