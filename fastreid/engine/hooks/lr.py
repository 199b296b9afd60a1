"""Move the learning rate along its schedule."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from ..loop import HookBase

__all__ = ["LRScheduler"]


class LRScheduler(HookBase):
    """Step the schedules and record the rates.

    ``lr`` is the rate of the group that most parameters are in. Where other groups began with other rates, those are
    ``lr/{part}`` (``lr/heads``, ``lr/bias``, ``lr/heads_bias``; ``lr/group{number}`` for groups without a ``part``),
    one for each different rate.

    Args:
        optimizer: whose learning rates move.
        scheduler: what ``build_lr_scheduler`` returns: ``lr_sched``, stepped after each epoch, and, if there is a
            warm-up, ``warmup_sched``, stepped after each of the first ``trainer.warmup_iters`` iterations.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: dict[str, Any]) -> None:
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._shown = _shown_groups(optimizer)

    def before_step(self) -> None:
        """Record the rates that this iteration uses."""
        for name, index in self._shown.items():
            rate = self._optimizer.param_groups[index]["lr"]
            self.trainer.storage.put_scalar(name, rate, smoothing_hint=False)

    def after_step(self) -> None:
        """Warm up."""
        if "warmup_sched" in self._scheduler and self.trainer.iter < self.trainer.warmup_iters:
            self._scheduler["warmup_sched"].step()

    def after_epoch(self) -> None:
        """Follow the epoch schedule."""
        self._scheduler["lr_sched"].step()


def _shown_groups(optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Return the name of each different learning rate, and the index of a group that has it; ``lr`` comes first."""
    counts: Counter[float] = Counter()
    first: dict[float, int] = {}
    for index, group in enumerate(optimizer.param_groups):
        rate = float(group["lr"])
        first.setdefault(rate, index)
        counts[rate] += sum(parameter.numel() for parameter in group["params"])
    (common, _), *others = counts.most_common()
    shown = {"lr": first[common]}
    for rate, _ in others:
        part = optimizer.param_groups[first[rate]].get("part")
        name = f"lr/{part}" if part and f"lr/{part}" not in shown else f"lr/group{first[rate]}"
        shown[name] = first[rate]
    return shown
