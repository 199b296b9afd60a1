"""Evaluate during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...evaluation.testing import flatten_results_dict
from ...utils import comm
from ..loop import HookBase

__all__ = ["EvalHook"]


class EvalHook(HookBase):
    """Evaluate every ``eval_period`` epochs and after the last one, and, if asked to, every so many iterations.

    The results go into the event storage (``Rank-1``, or ``Name/Rank-1`` with several test sets), so that the writers
    and the checkpoints behind this hook see them, and their names, with the iteration, into ``trainer.evaluated``.

    Args:
        eval_period: in epochs; 0: after the last epoch only.
        eval_function: takes nothing, returns a results dict (empty on the other ranks).
        eval_period_iters: in iterations; 0: by epochs only.
    """

    def __init__(
        self, eval_period: int, eval_function: Callable[[], dict[str, Any]], *, eval_period_iters: int = 0
    ) -> None:
        if eval_period < 0:
            raise ValueError(f"TEST.EVAL_PERIOD must be >= 0 epochs (0: after the last epoch only), got {eval_period}")
        if eval_period_iters < 0:
            raise ValueError(f"TEST.EVAL_PERIOD_ITERS must be >= 0 iterations (0: off), got {eval_period_iters}")
        self._period = eval_period
        self._period_iters = eval_period_iters
        self._function = eval_function

    def after_step(self) -> None:
        """Evaluate if this iteration is due; the last one of an epoch waits for ``after_epoch``."""
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch and self._iteration_is_due():
            self._evaluate()

    def after_epoch(self) -> None:
        """Evaluate if the epoch or its last iteration is due."""
        done = self.trainer.epoch + 1
        by_epoch = done == self.trainer.max_epoch or (self._period and done % self._period == 0)
        if by_epoch or self._iteration_is_due():
            self._evaluate()

    def _iteration_is_due(self) -> bool:
        return self._period_iters > 0 and (self.trainer.iter + 1) % self._period_iters == 0

    def _evaluate(self) -> None:
        results = comm.all_gather(self._function())[0]  # rank 0 computes, every rank must know
        if results:
            if not isinstance(results, dict):
                raise TypeError(f"an evaluation must return a dict of results, got {type(results).__name__}")
            flat = {key: float(value) for key, value in flatten_results_dict(results).items()}
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
            self.trainer.evaluated = self.trainer.iter, tuple(flat)
