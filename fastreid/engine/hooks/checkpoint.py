"""Save checkpoints: every so often, at the end, when the model is the best so far, and when the run has to stop."""

from __future__ import annotations

import logging
import math
from typing import Any

from ...utils.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from ..loop import HookBase

__all__ = ["BestCheckpointer", "PeriodicCheckpointer"]

logger = logging.getLogger(__name__)


class _Saves(HookBase):
    """What the hooks that save share: the newest value of the metric, and the moments at which they may.

    The last iteration of an epoch is saved in ``after_epoch``, when the schedules have moved and the evaluation is
    done: a run resumed from there begins the next epoch.
    """

    def after_step(self) -> None:
        """Save if it is due; the last iteration of an epoch waits for ``after_epoch``."""
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch:
            self._save_if_due(epoch_ends=False)

    def after_epoch(self) -> None:
        """Save if it is due."""
        self._save_if_due(epoch_ends=True)

    def _save_if_due(self, *, epoch_ends: bool) -> None:
        raise NotImplementedError

    def _metric(self) -> float | None:
        """Return the metric of the evaluation after this iteration, or ``None`` if there was none."""
        storage, name = self.trainer.storage, self.trainer.metric_name
        # no other scalar is read: the losses are still on the device
        return storage.history(name).latest() if storage.written_at(name) == self.trainer.iter else None


class BestCheckpointer(_Saves):
    """Save ``model_best`` whenever an evaluation beats the best one of the whole run, also across resumes.

    Args:
        checkpointer: does the saving.

    A result of an average that has not begun (``swa/mAP`` before the first sample) is waited for.

    Raises:
        KeyError: at the first evaluation, if it has no result of the name that ``TEST.BEST_METRIC`` gives.
    """

    def __init__(self, checkpointer: Any) -> None:
        self._checkpointer = checkpointer
        self._warned = False
        self.best = -math.inf

    def _save_if_due(self, *, epoch_ends: bool) -> None:
        metric = self._metric()
        if metric is None:
            self._check_name()
        elif metric > self.best:
            self.best = metric
            # Every rank takes part: the state holds the random states of all.
            self._checkpointer.save("model_best", **self.trainer.checkpoint_state(metric))

    def _check_name(self) -> None:
        """Raise if the model was evaluated just now, but not by this metric; warn if nobody has named one."""
        iteration, names = getattr(self.trainer, "evaluated", (None, ()))
        if iteration != self.trainer.iter or not names:
            return
        name = self.trainer.metric_name
        averages = getattr(self.trainer, "averages", {})
        if any(part in averages and not averages[part].started for part in name.split("/")):
            return
        message = f"TEST.BEST_METRIC: the evaluation has no result {name!r}; it has {', '.join(names)}"
        if name.rsplit("/", 1)[-1] != "metric":
            raise KeyError(message)
        if not self._warned:
            logger.warning("%s. There will be no model_best; name one of them", message)
            self._warned = True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far, and of which metric."""
        return {"best": self.best, "metric": self.trainer.metric_name}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a stored best value; that of another metric does not count."""
        stored = state.get("metric")
        now = getattr(getattr(self, "trainer", None), "metric_name", stored)
        if stored is not None and stored != now:
            logger.warning("The best model so far is that by %s; the one by %s is looked for from here on", stored, now)
            return
        self.best = float(state["best"])


class PeriodicCheckpointer(_Saves, _PeriodicCheckpointer):
    """Save every ``period`` epochs and after the last one, with everything that exact resuming needs.

    Args:
        checkpointer: does the saving.
        period: in epochs.
        max_epoch: number of epochs of the run; ``None``: the trainer's.
        period_iters: in iterations; 0: by epochs only.
        keep: how many of the newest files stay; 0: all. Files of other runs are never deleted.
    """

    def __init__(
        self, checkpointer: Any, period: int, max_epoch: int | None = None, *, period_iters: int = 0, keep: int = 0
    ) -> None:
        if period_iters < 0:
            raise ValueError(f"SOLVER.CHECKPOINT_PERIOD_ITERS must be >= 0 iterations (0: off), got {period_iters}")
        super().__init__(checkpointer, period, max_epoch, keep=keep)
        self.period_iters = int(period_iters)
        self._saved_at: int | None = None

    def before_train(self) -> None:
        """Learn the number of epochs from the trainer."""
        if self.max_epoch is None:
            self.max_epoch = self.trainer.max_epoch

    def save_now(self) -> None:
        """Save this iteration, if that was not done already; every rank must call it."""
        if self._saved_at != self.trainer.iter:
            self._save_iteration()

    def _save_if_due(self, *, epoch_ends: bool) -> None:
        trainer = self.trainer
        done = trainer.epoch + 1
        if epoch_ends and (done % self.period == 0 or done == self.max_epoch):
            if done != self.max_epoch:
                self.note(f"model_{trainer.epoch:04d}")  # before the state is taken, which holds the list
            state = trainer.checkpoint_state(self._metric())
            self.step(trainer.epoch, **{key: value for key, value in state.items() if key != "epoch"})
            self._saved_at = trainer.iter
        elif self.period_iters and (trainer.iter + 1) % self.period_iters == 0:
            self._save_iteration()

    def _save_iteration(self) -> None:
        name = f"model_iter_{self.trainer.iter:07d}"
        self.note(name)
        self.save(name, **self.trainer.checkpoint_state(self._metric()))
        self.delete_old()
        self._saved_at = self.trainer.iter

    def state_dict(self) -> dict[str, list[str]]:
        """Return the names of the files that this run wrote."""
        return {"written": list(self.written)}

    def load_state_dict(self, state: dict[str, list[str]]) -> None:
        """Go on with the files of the run that is resumed."""
        self.written = list(state["written"])
