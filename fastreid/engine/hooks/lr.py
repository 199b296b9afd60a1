"""Move the learning rate along its schedule."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from ..train_loop import HookBase

__all__ = ["LRScheduler"]


class LRScheduler(HookBase):
    """Step the schedules and record ``lr``.

    Args:
        optimizer: whose learning rates move.
        scheduler: what ``build_lr_scheduler`` returns: ``lr_sched``, stepped after each epoch, and, if there is a
            warm-up, ``warmup_sched``, stepped after each of the first ``trainer.warmup_iters`` iterations.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: dict[str, Any]) -> None:
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._shown_group = _most_common_group(optimizer)

    def before_step(self) -> None:
        """Record the rate that this iteration uses, of the group that most parameters are in."""
        rate = self._optimizer.param_groups[self._shown_group]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)

    def after_step(self) -> None:
        """Warm up."""
        if "warmup_sched" in self._scheduler and self.trainer.iter < self.trainer.warmup_iters:
            self._scheduler["warmup_sched"].step()

    def after_epoch(self) -> None:
        """Follow the epoch schedule."""
        self._scheduler["lr_sched"].step()


def _most_common_group(optimizer: torch.optim.Optimizer) -> int:
    """Return the index of a group with the learning rate that most parameters share."""
    counts: Counter[float] = Counter()
    for group in optimizer.param_groups:
        counts[group["lr"]] += sum(parameter.numel() for parameter in group["params"])
    rate = counts.most_common(1)[0][0]
    return next(index for index, group in enumerate(optimizer.param_groups) if group["lr"] == rate)
