"""The schedules of ``torch.optim.lr_scheduler``, by epochs, as factors of the rates that a warm-up leaves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from ..config import CfgNode, configurable
from .arguments import call_with_arguments
from .lr_scheduler import LR_SCHEDULER_REGISTRY, PlainState

__all__ = ["UNSUITED_SCHEDULES", "EpochFactors", "epoch_factors"]

UNSUITED_SCHEDULES = {
    "ChainedScheduler": "is made of other schedules, which a config cannot hold",
    "LambdaLR": "needs a function, which a config cannot hold",
    "MultiplicativeLR": "needs a function, which a config cannot hold",
    "ReduceLROnPlateau": "needs a metric after every epoch",
    "SequentialLR": "is made of other schedules, which a config cannot hold",
}
"""Schedules of torch that cannot be had by name, and why."""


def epoch_factors(
    schedule: type[LRScheduler], arguments: Mapping[str, Any], *, base_lr: float, epochs: int
) -> list[float]:
    """Return what a schedule of torch makes of a rate, as factors of it.

    Args:
        schedule: class of ``torch.optim.lr_scheduler``.
        arguments: of the class, ``SOLVER.SCHED_ARGS``; lengths are epochs, rates are meant for ``base_lr``. A schedule
            that would move the momentum too leaves it alone.
        base_lr: ``SOLVER.BASE_LR``, > 0.
        epochs: >= 1.

    Returns:
        The factor of each epoch.

    Raises:
        ValueError: if the class does not take the arguments, or a factor is not a number above 0.
    """
    own = {
        name: False if name == "cycle_momentum" else parameter.default
        for name, parameter in inspect.signature(schedule).parameters.items()
        if "momentum" in name
    }
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base_lr)
    stepper = call_with_arguments("SOLVER.SCHED_ARGS", arguments, schedule, optimizer, **own)
    factors: list[float] = []
    while len(factors) < epochs:
        factors.append(float(optimizer.param_groups[0]["lr"]) / base_lr)
        if not (factors[-1] > 0 and math.isfinite(factors[-1])):
            raise ValueError(
                f"SOLVER.SCHED {schedule.__name__} with SCHED_ARGS {dict(arguments)} has the rate "
                f"{factors[-1] * base_lr} after {len(factors) - 1} of {epochs} epochs, where nothing can be learned; "
                "give its lengths in epochs, and rates above 0"
            )
        if len(factors) < epochs:  # some schedules of torch cannot be stepped beyond their end
            optimizer.step()  # torch warns of a schedule that is stepped before its optimizer
            try:
                stepper.step()
            except Exception as error:  # some see only here what they were given, such as a step_size of 0
                raise ValueError(
                    f"SOLVER.SCHED {schedule.__name__} with SCHED_ARGS {dict(arguments)} fails after {len(factors)} of "
                    f"the {epochs} epochs of the run: {error}"
                ) from error
    return factors


class EpochFactors(PlainState):
    """Multiply every rate by a factor of the epoch; rates that differ keep their ratio, and one of 0 stays 0.

    Args:
        optimizer: whose rates move.
        factors: of each epoch, relative to the rate before the first, > 0; the last one holds from then on.
        start: epochs for which the first factor holds in addition, >= 0.
        last_epoch: finished epochs, -1 for a new run.
    """

    schedule: ClassVar[type[LRScheduler]]
    """The class of torch behind a name of ``SOLVER.SCHED``."""

    @configurable
    def __init__(self, optimizer: Optimizer, factors: Sequence[float], *, start: int = 0, last_epoch: int = -1) -> None:
        self._factors = list(factors)
        self._start = start
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_config(cls, cfg: CfgNode, optimizer: Optimizer, iters_per_epoch: int) -> dict[str, Any]:
        """Read ``SOLVER.SCHED_ARGS``, ``BASE_LR``, ``MAX_EPOCH``; the schedule begins after ``DELAY_EPOCHS``."""
        solver = cfg.SOLVER
        epochs = max(1, solver.MAX_EPOCH - solver.DELAY_EPOCHS)
        factors = epoch_factors(cls.schedule, solver.SCHED_ARGS, base_lr=solver.BASE_LR, epochs=epochs)
        return {"optimizer": optimizer, "factors": factors, "start": solver.DELAY_EPOCHS}

    def factor(self, epoch: int) -> float:
        """Return the factor after ``epoch`` finished epochs; 1 before the run."""
        if epoch < 0:
            return 1.0
        return self._factors[min(max(epoch - self._start, 0), len(self._factors) - 1)]

    def get_lr(self) -> list[float]:
        """Return the rates after ``last_epoch`` epochs, from those of the epoch before."""
        change = self.factor(self.last_epoch) / self.factor(self.last_epoch - 1)
        return [group["lr"] * change for group in self.optimizer.param_groups]


for _name, _class in sorted(vars(lr_scheduler).items()):
    if (
        isinstance(_class, type)
        and issubclass(_class, LRScheduler)
        and not _name.startswith("_")
        and _class is not LRScheduler
        and _name not in UNSUITED_SCHEDULES
        and _name not in LR_SCHEDULER_REGISTRY  # MultiStepLR and CosineAnnealingLR have keys of their own
    ):
        LR_SCHEDULER_REGISTRY.register(type(_name, (EpochFactors,), {"schedule": _class}))
