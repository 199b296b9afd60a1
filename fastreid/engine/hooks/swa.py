"""Average the weights of the last part of a run, and hold its learning rate up meanwhile."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from ...layers.weight_average import WeightAverage
from ..loop import HookBase
from .precise_bn import update_average_stats

__all__ = ["SWA", "swa_rate"]

logger = logging.getLogger(__name__)


def swa_rate(
    scheduled: float, top: float, step: int, *, cycle: int = 0, lowest: float = 0.0, anneal_iters: int = 0
) -> float:
    """Return the learning rate of an iteration during the averaging.

    Args:
        scheduled: what the schedule says.
        top: the rate of the averaging.
        step: iterations since its start, >= 0.
        cycle: iterations of a cycle, in which the rate falls from ``top`` to ``lowest`` as half a cosine, which it
            reaches in the last one; 0: it stays at ``top``.
        lowest: the end of a cycle.
        anneal_iters: without cycles: iterations over which the rate goes from the schedule's to ``top``, likewise.
    """
    if cycle:
        return lowest + (top - lowest) * _cosine((step % cycle + 1) / cycle)
    if step < anneal_iters:
        return top + (scheduled - top) * _cosine((step + 1) / anneal_iters)
    return top


def _cosine(done: float) -> float:
    """Fall from 1 to 0 while ``done`` goes from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2


class SWA(HookBase):
    """Take the mean of the weights at every ``swa_freq``-th iteration from ``swa_start`` on.

    The schedule goes on underneath: its rates are there again after each step, so that checkpoints hold them, and
    resuming needs nothing else. Register this hook before the one that steps and records them. With ``bn_iters`` the
    batch-norm statistics of the mean are recomputed after the last epoch; until then they are the mean of the samples'.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018,
    arXiv:1803.05407.

    Args:
        swa_start: first iteration, 0-based; the first sample is taken ``swa_freq`` iterations later.
        swa_freq: iterations between two samples, >= 1.
        swa_lr_factor: the learning rate meanwhile, as a factor of each group's base rate, >= 0; 0: the schedule's.
        eta_min: the end of each cycle of the rate, >= 0.
        lr_sched: let the rate fall in cycles of ``swa_freq`` iterations; False: it is constant.
        anneal_iters: iterations from the schedule's rate to the constant one, >= 0.
        average: of the model that is trained; ``None``: one is made, as the attribute of this name.
        bn_loader: returns an iterable of training batches; called once.
        bn_iters: number of batches, >= 0; 0: the statistics stay the mean of the samples'.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        swa_start: int,
        swa_freq: int,
        swa_lr_factor: float,
        eta_min: float,
        lr_sched: bool = False,
        *,
        anneal_iters: int = 0,
        average: WeightAverage | None = None,
        bn_loader: Callable[[], Iterable[Any]] | None = None,
        bn_iters: int = 0,
    ) -> None:
        for name, value, least in (
            ("swa_start (SOLVER.SWA.START_EPOCH)", swa_start, 0),
            ("swa_freq (SOLVER.SWA.PERIOD, SOLVER.SWA.PERIOD_ITERS)", swa_freq, 1),
            ("swa_lr_factor (SOLVER.SWA.LR_FACTOR)", swa_lr_factor, 0),
            ("eta_min (SOLVER.SWA.ETA_MIN_LR)", eta_min, 0),
            ("anneal_iters (SOLVER.SWA.ANNEAL_EPOCHS)", anneal_iters, 0),
            ("bn_iters (SOLVER.SWA.BN_ITERS)", bn_iters, 0),
        ):
            if not value >= least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        if lr_sched and not swa_lr_factor:
            raise ValueError(
                "lr_sched (SOLVER.SWA.CYCLIC) is on, but swa_lr_factor (SOLVER.SWA.LR_FACTOR) is 0, which keeps the "
                "schedule: give the factor where a cycle starts"
            )
        if bn_iters and bn_loader is None:
            raise ValueError(f"bn_iters is {bn_iters}, but there is no bn_loader to take the batches from")
        self.average = average
        self._start, self._period = swa_start, swa_freq
        self._factor, self._lowest, self._cyclic = swa_lr_factor, eta_min, lr_sched
        self._anneal = anneal_iters
        self._bn_loader, self._bn_iters = bn_loader, bn_iters
        self._scheduled: list[float] | None = None

    def before_train(self) -> None:
        """Look whether there will be a sample.

        Raises:
            ValueError: if there will be none.
        """
        trainer = self.trainer
        if self._start + self._period > trainer.max_iter:
            raise ValueError(
                f"SOLVER.SWA would take no sample: the first is due {self._period} iterations after iteration "
                f"{self._start}, but the run has {trainer.max_iter}; lower SOLVER.SWA.START_EPOCH or SOLVER.SWA.PERIOD"
            )
        if self.average is None:
            self.average = WeightAverage(trainer.model)
        for group in trainer.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def before_step(self) -> None:
        """Set the rates of the averaging, once it has begun."""
        step = self.trainer.iter - self._start
        if step < 0 or not self._factor:
            return
        groups = self.trainer.optimizer.param_groups
        self._scheduled = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = swa_rate(
                group["lr"],
                self._factor * group["initial_lr"],
                step,
                cycle=self._period if self._cyclic else 0,
                lowest=self._lowest,
                anneal_iters=self._anneal,
            )

    def after_step(self) -> None:
        """Put the rates of the schedule back, and take a sample if one is due."""
        self._restore_rates()
        done = self.trainer.iter + 1 - self._start
        if done > 0 and done % self._period == 0:
            self.average.update(1 / (self.average.updates + 1))

    def after_epoch(self) -> None:
        """Recompute the batch-norm statistics of the mean if this was the last epoch."""
        last = self.trainer.epoch + 1 == self.trainer.max_epoch
        if last and self._bn_iters and self.average.started:
            logger.info("Computing the batch-norm statistics of the mean of %d samples (SWA)", self.average.updates)
            update_average_stats(self.average, self._bn_loader(), self._bn_iters)

    def after_train(self) -> None:
        """Put the rates back, also after an error inside an iteration."""
        self._restore_rates()

    def _restore_rates(self) -> None:
        if self._scheduled is not None:
            for group, rate in zip(self.trainer.optimizer.param_groups, self._scheduled):
                group["lr"] = rate
            self._scheduled = None
