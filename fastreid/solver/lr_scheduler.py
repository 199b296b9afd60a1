"""How the learning rate moves: a warm-up by iterations, times a schedule by epochs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..config import CfgNode, configurable
from ..utils.registry import Registry

__all__ = ["LR_SCHEDULER_REGISTRY", "CosineAnnealingLR", "MultiStepLR", "PlainState", "WarmupLR"]

LR_SCHEDULER_REGISTRY = Registry("SOLVER.SCHED")
"""Schedules by epochs.

An entry is called as ``entry(cfg, optimizer, iters_per_epoch)`` and returns an object with ``step()``, ``state_dict()``
and ``load_state_dict()``. ``step()`` is called once after every epoch of the run, from the first on. A schedule that
moves the rate while the warm-up lasts must multiply the rate that it finds, for the warm-up does the same.
"""


class PlainState(LRScheduler):
    """A scheduler whose state is its position alone, in plain numbers; what it does comes from the config."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the schedule, in numbers, strings and lists."""
        return {
            "schedule": type(self).__name__,
            "last_epoch": self.last_epoch,
            "base_lrs": [float(rate) for rate in self.base_lrs],
            "last_lr": [float(rate) for rate in self._last_lr],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a position; the rates themselves come back with the state of the optimizer.

        Raises:
            ValueError: if the state is that of another schedule or of another number of parameter groups.
        """
        kind = state_dict.get("schedule", "none that names itself")
        if kind != type(self).__name__:
            raise ValueError(
                f"the state is that of {kind}, not of {type(self).__name__}; keep SOLVER.SCHED when resuming"
            )
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"the state is of {len(state_dict['base_lrs'])} parameter groups, the optimizer has "
                f"{len(self.base_lrs)}; keep the model and the learning rates of SOLVER when resuming"
            )
        self.last_epoch = state_dict["last_epoch"]
        self.base_lrs = list(state_dict["base_lrs"])
        self._last_lr = list(state_dict["last_lr"])


@LR_SCHEDULER_REGISTRY.register()
class MultiStepLR(PlainState):
    """Multiply every rate by ``gamma`` at each milestone.

    A milestone is a number of finished epochs: with milestone 40 the epochs 0 to 39 have the old rate.

    Args:
        optimizer: whose rates move.
        milestones: in epochs, >= 1; one that is there twice counts twice.
        gamma: factor, > 0.
        last_epoch: finished epochs, -1 for a new run.

    Raises:
        ValueError: if a milestone is less than 1 or ``gamma`` is not above 0; from the config also if ``SOLVER.STEPS``
            does not ascend.
    """

    @configurable
    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], *, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not gamma > 0:
            raise ValueError(f"gamma (SOLVER.GAMMA) must be > 0, got {gamma}")
        if any(milestone < 1 for milestone in milestones):
            raise ValueError(f"milestones (SOLVER.STEPS) must be >= 1 epoch, got {list(milestones)}")
        self._milestones = sorted(milestones)
        self._gamma = gamma
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_config(cls, cfg: CfgNode, optimizer: Optimizer, iters_per_epoch: int) -> dict[str, Any]:
        """Read ``SOLVER.STEPS`` and ``GAMMA``; no milestone is before ``DELAY_EPOCHS``."""
        _takes_no_arguments(cfg.SOLVER, "STEPS and SOLVER.GAMMA")
        steps = list(cfg.SOLVER.STEPS)
        if any(later <= earlier for earlier, later in zip(steps, steps[1:])):
            raise ValueError(f"SOLVER.STEPS must ascend, got {steps}; write each epoch once, in order")
        if any(step < 1 for step in steps):
            raise ValueError(f"SOLVER.STEPS must be epochs >= 1, got {steps}; lower SOLVER.BASE_LR to start lower")
        milestones = [max(step, cfg.SOLVER.DELAY_EPOCHS) for step in steps]
        return {"optimizer": optimizer, "milestones": milestones, "gamma": cfg.SOLVER.GAMMA}

    def get_lr(self) -> list[float]:
        """Return the rates after ``last_epoch`` epochs, from those of the epoch before."""
        factor = self._gamma ** self._milestones.count(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]


@LR_SCHEDULER_REGISTRY.register()
class CosineAnnealingLR(PlainState):
    """Let every rate fall along half a cosine, from its base to ``eta_min``, and stay there.

    With ``t = finished epochs - start``: for ``t <= 0`` the rates are left alone, then each is
    ``eta_min + (base - eta_min) (1 + cos(pi t / t_max)) / 2``, with ``t`` at most ``t_max``. A rate whose base is below
    ``eta_min`` (a factor of 0 in the config) goes to its base and stays there.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    arXiv:1608.03983, without restarts.

    Args:
        optimizer: whose rates move.
        t_max: epochs from base to ``eta_min``, >= 1.
        eta_min: last rate, >= 0.
        start: finished epochs before the fall begins, >= 0.
        last_epoch: finished epochs, -1 for a new run.

    Raises:
        ValueError: if a number is out of its range; from the config also if ``SOLVER.ETA_MIN_LR`` is above ``BASE_LR``.
    """

    @configurable
    def __init__(
        self, optimizer: Optimizer, t_max: int, *, eta_min: float = 0.0, start: int = 0, last_epoch: int = -1
    ) -> None:
        if t_max < 1 or start < 0:
            raise ValueError(f"t_max must be >= 1 and start >= 0 epochs, got {t_max} and {start}")
        if eta_min < 0:
            raise ValueError(f"eta_min (SOLVER.ETA_MIN_LR) must be >= 0, got {eta_min}")
        self._t_max = t_max
        self._eta_min = eta_min
        self._start = start
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_config(cls, cfg: CfgNode, optimizer: Optimizer, iters_per_epoch: int) -> dict[str, Any]:
        """Read ``SOLVER.MAX_EPOCH`` and ``ETA_MIN_LR``; the fall waits for ``WARMUP_ITERS`` and ``DELAY_EPOCHS``."""
        solver = cfg.SOLVER
        _takes_no_arguments(solver, "ETA_MIN_LR and SOLVER.MAX_EPOCH")
        if solver.ETA_MIN_LR > solver.BASE_LR:
            raise ValueError(
                f"SOLVER.ETA_MIN_LR is {solver.ETA_MIN_LR}, above SOLVER.BASE_LR {solver.BASE_LR}; "
                "it is the rate at the end, so lower it"
            )
        warmup_epochs = math.ceil(solver.WARMUP_ITERS / iters_per_epoch)
        return {
            "optimizer": optimizer,
            "t_max": max(1, solver.MAX_EPOCH - max(warmup_epochs, solver.DELAY_EPOCHS)),
            "eta_min": solver.ETA_MIN_LR,
            # The epoch in which the warm-up ends is the last with the full rate.
            "start": max(warmup_epochs - 1, solver.DELAY_EPOCHS, 0),
        }

    def get_lr(self) -> list[float]:
        """Return the rates after ``last_epoch`` epochs."""
        t = min(self.last_epoch - self._start, self._t_max)
        if t <= 0:
            return [group["lr"] for group in self.optimizer.param_groups]
        weight = (1 + math.cos(math.pi * t / self._t_max)) / 2  # from 1 to 0
        floors = [min(self._eta_min, base) for base in self.base_lrs]
        return [floor + (base - floor) * weight for floor, base in zip(floors, self.base_lrs)]


def _takes_no_arguments(solver: CfgNode, keys: str) -> None:
    if solver.SCHED_ARGS:
        raise ValueError(
            f"SOLVER.SCHED_ARGS is {dict(solver.SCHED_ARGS)}, but {solver.SCHED} takes its numbers from SOLVER.{keys}; "
            "set those, and leave SCHED_ARGS empty"
        )


def _linear(start: float, progress: float) -> float:
    return start * (1 - progress) + progress


def _exp(start: float, progress: float) -> float:
    return start ** (1 - progress)


def _constant(start: float, progress: float) -> float:
    return start


_WARMUP_METHODS: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "exp": _exp,
}


class WarmupLR(PlainState):
    """Raise every rate from ``warmup_factor`` times its value to the value itself, by iterations.

    After ``t`` of ``T = warmup_iters`` steps the rates carry the factor ``f(t)``: ``linear`` is
    ``warmup_factor (1 - t / T) + t / T``, ``exp`` is ``warmup_factor ** (1 - t / T)``, ``constant`` is
    ``warmup_factor``; ``f`` is 1 from ``T`` on. A step multiplies the rates that it finds by ``f(t) / f(t - 1)``, so
    another schedule may multiply them meanwhile.

    Source: Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", arXiv:1706.02677, "gradual
    warmup", for ``linear``.

    Args:
        optimizer: whose rates move; they are multiplied by ``f(0)`` at once.
        warmup_factor: > 0; 0 is possible with ``linear``.
        warmup_iters: T, >= 0; 0 does nothing.
        warmup_method: ``linear``, ``exp`` or ``constant``.
        last_epoch: finished iterations, -1 for a new run.

    Raises:
        ValueError: if the method is unknown or a number is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_factor: float = 0.1,
        warmup_iters: int = 1000,
        warmup_method: str = "linear",
        last_epoch: int = -1,
    ) -> None:
        if warmup_method not in _WARMUP_METHODS:
            close = difflib.get_close_matches(warmup_method, _WARMUP_METHODS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"warmup_method (SOLVER.WARMUP_METHOD) must be one of {', '.join(_WARMUP_METHODS)}, "
                f"got {warmup_method!r}{hint}"
            )
        if warmup_iters < 0:
            raise ValueError(f"warmup_iters (SOLVER.WARMUP_ITERS) must be >= 0 (0: no warm-up), got {warmup_iters}")
        if warmup_factor < 0 or (warmup_factor == 0 and warmup_method != "linear"):
            raise ValueError(
                "warmup_factor (SOLVER.WARMUP_FACTOR) must be > 0, or 0 with 'linear', "
                f"got {warmup_factor} with {warmup_method!r}"
            )
        self._method = _WARMUP_METHODS[warmup_method]
        self._start_factor = warmup_factor
        self._iters = warmup_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, iteration: int) -> float:
        """Return ``f(iteration)``; 1 before the first and from the last iteration of the warm-up on."""
        if not 0 <= iteration < self._iters:
            return 1.0
        return self._method(self._start_factor, iteration / self._iters)

    def get_lr(self) -> list[float]:
        """Return the rates after ``last_epoch`` iterations, from those of the iteration before."""
        before, now = self.factor(self.last_epoch - 1), self.factor(self.last_epoch)
        if before == 0:  # the rates are 0 and say nothing; no epoch can have ended this early
            return [base * now for base in self.base_lrs]
        return [group["lr"] * now / before for group in self.optimizer.param_groups]
