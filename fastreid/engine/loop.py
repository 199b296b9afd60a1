"""The training loop and its hooks; what one iteration does is the trainer's."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable

from ..utils.events import EventStorage
from .stopped import RunStopped

__all__ = ["HookBase", "TrainerBase"]

logger = logging.getLogger(__name__)


class HookBase:
    """Something that happens at fixed moments of training; override what you need.

    The moments, in order::

        before_train()
        for each epoch:
            before_epoch()
            for each iteration:
                before_step(); trainer.run_step(); after_step()
            after_epoch()
        after_train()

    ``self.trainer`` is the trainer, with ``iter`` (0-based iteration of the whole run), ``epoch`` (0-based),
    ``storage``, ``max_iter``, ``max_epoch`` and ``iters_per_epoch``. In ``after_epoch`` and ``after_train``, ``iter``
    is the last finished iteration. A hook with ``state_dict`` and ``load_state_dict`` is stored in checkpoints.
    """

    trainer: TrainerBase

    def before_train(self) -> None:
        """Do something before the first iteration, also of a resumed run."""

    def after_train(self) -> None:
        """Do something after the last iteration, also after an error."""

    def before_epoch(self) -> None:
        """Do something before each epoch."""

    def after_epoch(self) -> None:
        """Do something after each finished epoch."""

    def before_step(self) -> None:
        """Do something before each iteration."""

    def after_step(self) -> None:
        """Do something after each iteration."""


class TrainerBase:
    """Run iterations, and hooks around them; what an iteration does is :meth:`run_step`."""

    iter: int = 0
    start_iter: int = 0
    max_iter: int = 0
    epoch: int = 0
    start_epoch: int = 0
    max_epoch: int = 0
    iters_per_epoch: int = 0
    storage: EventStorage

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []

    def register_hooks(self, hooks: Iterable[HookBase | None]) -> None:
        """Add hooks, which run in the order of their registration; ``None`` is left out."""
        for hook in hooks:
            if hook is None:
                continue
            if not isinstance(hook, HookBase):
                raise TypeError(f"a hook must be a HookBase, got {type(hook).__name__}")
            hook.trainer = weakref.proxy(self)  # a strong reference would keep the trainer alive in a cycle
            self._hooks.append(hook)

    def train(self, start_epoch: int, max_epoch: int, iters_per_epoch: int, *, start_iter: int | None = None) -> None:
        """Train to the end of the last epoch.

        Args:
            start_epoch: first epoch, 0-based.
            max_epoch: number of epochs of the whole run.
            iters_per_epoch: at least 1.
            start_iter: first iteration, 0-based, when it is inside an epoch; ``None``: the first of ``start_epoch``.
        """
        if iters_per_epoch < 1:
            raise ValueError(
                f"iters_per_epoch must be at least 1, got {iters_per_epoch}: is the training set smaller than a batch?"
            )
        self.iters_per_epoch, self.max_epoch = iters_per_epoch, max_epoch
        self.start_iter = start_epoch * iters_per_epoch if start_iter is None else start_iter
        self.max_iter = max_epoch * iters_per_epoch
        self.start_epoch = self.epoch = self.start_iter // iters_per_epoch
        self.iter = self.start_iter
        logger.info("Starting training from epoch %d", self.start_epoch)
        with EventStorage(self.start_iter) as self.storage:
            try:
                self.before_train()
                for epoch in range(self.start_epoch, max_epoch):
                    self._run_epoch(epoch)
            except RunStopped:
                self.after_train()
                raise
            except BaseException:  # an interrupt too: the hooks must close their files
                logger.exception("Exception during training:")
                try:
                    self.after_train()
                except Exception:
                    logger.exception("and another one while closing down:")
                raise
            self.after_train()

    def _run_epoch(self, epoch: int) -> None:
        """Run what is left of an epoch; afterwards ``iter`` is its last iteration, and so is the storage's."""
        self.epoch = self.storage.epoch = epoch
        first = max(self.start_iter, epoch * self.iters_per_epoch)
        self.before_epoch()
        for iteration in range(first, (epoch + 1) * self.iters_per_epoch):
            self.iter = self.storage.iter = iteration
            self.before_step()
            self.run_step()
            self.after_step()
        self.after_epoch()

    def before_train(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            hook.before_train()

    def after_train(self) -> None:
        """Call the hooks, every one of them even if another one fails; raise the first failure."""
        failures = []
        for hook in self._hooks:
            try:
                hook.after_train()
            except Exception as error:
                logger.exception("%s.after_train failed:", type(hook).__name__)
                failures.append(error)
        if failures:
            raise failures[0]

    def before_epoch(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            hook.before_epoch()

    def after_epoch(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            hook.after_epoch()

    def before_step(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            hook.before_step()

    def after_step(self) -> None:
        """Call the hooks."""
        for hook in self._hooks:
            hook.after_step()

    def run_step(self) -> None:
        """Do one iteration."""
        raise NotImplementedError(f"{type(self).__name__} must define run_step()")
