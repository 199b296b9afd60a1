"""What happens around the iterations of training: one hook, one file.

The order in which ``DefaultTrainer`` registers them, and why: ``IterationTimer`` and ``Throughput`` first, so that they
time the step alone; ``SWA``, which holds the rate up, before ``LRScheduler``, which records it; ``LayerFreeze``;
``EMA`` before what reads the average; ``PreciseBN`` before what evaluates and stores the model; ``EvalHook`` before
those that keep its numbers; ``PeriodicWriter`` and ``RunManifest`` before ``BestCheckpointer`` and
``PeriodicCheckpointer``, so that a run killed between them does its last iterations again instead of going on behind
numbers that were never written; ``StopOnSignal`` behind these, so that it need not save what they have just saved;
``ProgressLine`` last.
"""

from __future__ import annotations

from ...evaluation.testing import flatten_results_dict
from ...layers.precise_bn import get_bn_modules
from .callback import CallbackHook
from .checkpoint import BestCheckpointer, PeriodicCheckpointer
from .ema import EMA
from .eval import EvalHook
from .freeze import LayerFreeze
from .lr import LRScheduler
from .manifest import RunManifest
from .precise_bn import PreciseBN
from .profiler import AutogradProfiler
from .progress_line import ProgressLine
from .stop import StopOnSignal
from .swa import SWA
from .throughput import Throughput
from .timer import IterationTimer
from .writer import PeriodicWriter

__all__ = [
    "EMA",
    "SWA",
    "AutogradProfiler",
    "BestCheckpointer",
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "LayerFreeze",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "PreciseBN",
    "ProgressLine",
    "RunManifest",
    "StopOnSignal",
    "Throughput",
    "flatten_results_dict",
    "get_bn_modules",
]
