"""Save checkpoints: every so often, at the end, and when the model is the best so far."""

from __future__ import annotations

import math
from typing import Any

from ...utils.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from ..train_loop import HookBase

__all__ = ["BestCheckpointer", "PeriodicCheckpointer"]


class _Saves(HookBase):
    """What the hooks that save share: the newest value of the metric, and the trainer's state."""

    def _metric(self) -> float | None:
        """Return the metric of the evaluation after this epoch, or ``None`` if there was none."""
        value, iteration = self.trainer.storage.latest().get(self.trainer.metric_name, (0.0, None))
        return value if iteration == self.trainer.iter else None


class BestCheckpointer(_Saves):
    """Save ``model_best`` whenever an evaluation beats the best one of the whole run, also across resumes.

    Args:
        checkpointer: does the saving.
    """

    def __init__(self, checkpointer: Any) -> None:
        self._checkpointer = checkpointer
        self.best = -math.inf

    def after_epoch(self) -> None:
        """Save if this epoch was evaluated and is the best."""
        metric = self._metric()
        if metric is None or not metric > self.best:
            return
        self.best = metric
        # Every rank takes part: the state holds the random states of all.
        self._checkpointer.save("model_best", **self.trainer.checkpoint_state(metric))

    def state_dict(self) -> dict[str, float]:
        """Return the best metric so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a stored best metric."""
        self.best = float(state["best"])


class PeriodicCheckpointer(_Saves, _PeriodicCheckpointer):
    """Save every ``period`` epochs and after the last one, with everything that exact resuming needs.

    Args:
        checkpointer: does the saving.
        period: in epochs.
        max_epoch: number of epochs of the run; ``None``: the trainer's.
    """

    def before_train(self) -> None:
        """Learn the number of epochs from the trainer."""
        if self.max_epoch is None:
            self.max_epoch = self.trainer.max_epoch

    def after_epoch(self) -> None:
        """Save if this epoch is due."""
        due = (self.trainer.epoch + 1) % self.period == 0 or self.trainer.epoch + 1 == self.max_epoch
        if due:
            state = self.trainer.checkpoint_state(self._metric())
            self.step(self.trainer.epoch, **{key: value for key, value in state.items() if key != "epoch"})
