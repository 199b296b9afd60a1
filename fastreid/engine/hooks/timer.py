"""Measure how long iterations take."""

from __future__ import annotations

import datetime
import logging
import time

from ..loop import HookBase

__all__ = ["IterationTimer"]

logger = logging.getLogger(__name__)


class IterationTimer(HookBase):
    """Record ``time``, the seconds of each iteration without the hooks, and sum up at the end.

    Register it first: what the hooks after it do is not counted.

    Args:
        warmup_iter: first iterations that are slower (caches, worker start-up) and left out of the sums.
    """

    def __init__(self, warmup_iter: int = 3) -> None:
        self._warmup_iter = warmup_iter
        self._train_start = self._step_start = 0.0
        self._counted_start: float | None = None
        self._in_steps = 0.0
        self._steps = 0

    def before_train(self) -> None:
        """Start the clock."""
        self._train_start = time.perf_counter()

    def before_step(self) -> None:
        """Start the clock of the step."""
        self._step_start = time.perf_counter()
        if self._counted_start is None and self.trainer.iter - self.trainer.start_iter >= self._warmup_iter:
            self._counted_start = self._step_start

    def after_step(self) -> None:
        """Record the seconds since ``before_step``."""
        seconds = time.perf_counter() - self._step_start
        if self._counted_start is not None:
            self._in_steps += seconds
            self._steps += 1
            self.trainer.storage.put_scalar("time", seconds)

    def after_train(self) -> None:
        """Log the speed and the share of the hooks."""
        total = time.perf_counter() - self._train_start
        if self._counted_start is not None and self._steps:
            logger.info(
                "Overall training speed: %d iterations in %s (%.4f s / it)",
                self._steps,
                datetime.timedelta(seconds=int(self._in_steps)),
                self._in_steps / self._steps,
            )
            hooks = time.perf_counter() - self._counted_start - self._in_steps
        else:
            hooks = 0.0
        logger.info(
            "Total training time: %s (%s on hooks)",
            datetime.timedelta(seconds=int(total)),
            datetime.timedelta(seconds=int(hooks)),
        )
