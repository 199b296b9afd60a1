"""Record where the time of chosen iterations goes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from ...utils import comm
from ..loop import HookBase

__all__ = ["AutogradProfiler"]

logger = logging.getLogger(__name__)


class AutogradProfiler(HookBase):
    """Write a trace of some iterations, for ``chrome://tracing`` or https://ui.perfetto.dev.

    A trace takes memory and slows the iteration down, so choose few. Register it last, to record the step alone.

    Args:
        enable_predicate: gets the trainer before each iteration, and returns whether to record it.
        output_dir: gets ``profiler-trace-iter{iteration}.json``; is made if it is not there. With several processes,
            each writes its own, with ``-rank{rank}`` before the ending.
        use_cuda: record the kernels of the GPU too, where there is one.

    Example:
        >>> AutogradProfiler(lambda trainer: 10 <= trainer.iter < 13, "logs/profile")  # doctest: +SKIP
    """

    def __init__(self, enable_predicate: Callable[[Any], bool], output_dir: str, *, use_cuda: bool = True) -> None:
        self._enable_predicate = enable_predicate
        self._output_dir = output_dir
        self._activities = [ProfilerActivity.CPU]
        if use_cuda and torch.cuda.is_available():
            self._activities.append(ProfilerActivity.CUDA)
        self._profiler: profile | None = None

    def before_step(self) -> None:
        """Start recording if this iteration is wanted."""
        if self._enable_predicate(self.trainer):
            self._profiler = profile(activities=self._activities)
            self._profiler.start()

    def after_step(self) -> None:
        """Write what was recorded."""
        if self._profiler is None:
            return
        self._profiler.stop()
        os.makedirs(self._output_dir, exist_ok=True)
        rank = f"-rank{comm.get_rank()}" if comm.get_world_size() > 1 else ""
        path = os.path.join(self._output_dir, f"profiler-trace-iter{self.trainer.iter}{rank}.json")
        self._profiler.export_chrome_trace(path)
        logger.info("Wrote the trace of iteration %d to %s", self.trainer.iter, path)
        self._profiler = None

    def after_train(self) -> None:
        """Stop recording if an error ended the iteration."""
        if self._profiler is not None:
            self._profiler.stop()
            self._profiler = None
