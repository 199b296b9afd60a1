"""The training loop and what one iteration does; everything else is a hook."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..utils import comm
from ..utils.events import EventStorage, get_event_storage

__all__ = ["AMPTrainer", "HookBase", "SimpleTrainer", "TrainerBase"]

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


class SimpleTrainer(TrainerBase):
    """One batch, one forward and backward pass, one optimizer step.

    Args:
        model: called with a batch dict; returns a dict of scalar losses, which are added up.
        data_loader: endless iterable of batch dicts.
        optimizer: steps after each backward pass.
        param_wrapper: ``None``; the second thing that ``build_optimizer`` returns, kept for old callers.
    """

    finite_check_period = 20
    """Iterations between two looks at whether the loss is finite, on devices where a look makes the CPU wait."""

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[dict[str, Any]],
        optimizer: torch.optim.Optimizer,
        param_wrapper: Any = None,
    ) -> None:
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.param_wrapper = param_wrapper
        self.device = next(model.parameters()).device
        self._batches: Iterator[dict[str, Any]] | None = None
        self._first_bad: Tensor | None = None

    def run_step(self) -> None:
        """Train on the next batch and put its losses into the event storage."""
        if not self.model.training:
            raise RuntimeError("the model is in eval mode during training; a hook or an evaluation left it there")
        batch, data_time = self.next_batch()
        losses = self.forward(batch)
        total = sum(losses.values())
        self.optimizer.zero_grad(set_to_none=True)
        self.step(total)
        self.write_metrics(losses, total.detach(), data_time)

    def next_batch(self) -> tuple[dict[str, Any], float]:
        """Return the next batch on the model's device, and the seconds that it was waited for."""
        start = time.perf_counter()
        if self._batches is None:
            self._batches = iter(self.data_loader)
        batch = next(self._batches)
        waited = time.perf_counter() - start
        move = {
            key: value.to(self.device, non_blocking=True) for key, value in batch.items() if isinstance(value, Tensor)
        }
        return {**batch, **move}, waited

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Raises:
            ValueError: if there are none.
        """
        losses = self.model(batch)
        if not losses:
            raise ValueError("the model returned no losses; name at least one in MODEL.LOSSES.NAME")
        return losses

    def step(self, total: Tensor) -> None:
        """Go back through the graph and step the optimizer."""
        total.backward()
        self.optimizer.step()

    def write_metrics(self, losses: dict[str, Tensor], total: Tensor, data_time: float) -> None:
        """Store the losses, averaged over the ranks, without making the CPU wait for the device."""
        means = comm.reduce_dict({"total_loss": total, **{key: value.detach() for key, value in losses.items()}})
        storage = get_event_storage()
        for key, value in means.items():
            if key != "total_loss" or len(losses) > 1 or "total_loss" not in losses:
                storage.put_scalar(key, value)
        storage.put_scalar("data_time", data_time)
        self._check_finite(means)

    def _check_finite(self, means: dict[str, Tensor]) -> None:
        total = means["total_loss"]
        now = torch.full((), self.iter, dtype=torch.int64, device=total.device)
        bad = torch.where(torch.isfinite(total), torch.full_like(now, -1), now)
        self._first_bad = bad if self._first_bad is None else torch.where(self._first_bad >= 0, self._first_bad, bad)
        if total.device.type != "cpu" and (self.iter + 1) % self.finite_check_period:
            return
        first = int(self._first_bad)
        if first >= 0:
            parts = ", ".join(f"{key} {float(value):.4g}" for key, value in means.items())
            raise FloatingPointError(
                f"the loss became infinite or NaN at iteration {first} (now: {parts}); "
                "lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, set SOLVER.CLIP_GRADIENTS.ENABLED True, "
                "or turn SOLVER.AMP off"
            )


class AMPTrainer(SimpleTrainer):
    """:class:`SimpleTrainer` with the forward pass in half precision.

    Args:
        model: see :class:`SimpleTrainer`; so are ``data_loader``, ``optimizer`` and ``param_wrapper``.
        grad_scaler: keeps small float16 gradients from vanishing; ``None``: one is made, and used for float16 only.
        dtype: ``torch.float16`` or ``torch.bfloat16``; ``None``: float16 on CUDA, bfloat16 elsewhere.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[dict[str, Any]],
        optimizer: torch.optim.Optimizer,
        param_wrapper: Any = None,
        grad_scaler: torch.amp.GradScaler | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(model, data_loader, optimizer, param_wrapper)
        on_cuda = self.device.type == "cuda"
        self.dtype = dtype or (torch.float16 if on_cuda else torch.bfloat16)
        scale = self.dtype is torch.float16
        self.grad_scaler = grad_scaler or torch.amp.GradScaler(self.device.type if scale else "cpu", enabled=scale)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses of a batch, computed under autocast."""
        with torch.autocast(self.device.type, dtype=self.dtype):
            return super().forward(batch)

    def step(self, total: Tensor) -> None:
        """Go back through the graph with a scaled loss; a step with infinite gradients is left out."""
        self.grad_scaler.scale(total).backward()
        self.grad_scaler.unscale_(self.optimizer)  # a fused optimizer would do it only behind the clipping
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
