"""What one iteration does: micro-batches forward and backward, one step of the optimizer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..data.prefetch import DevicePrefetcher
from ..solver.gradient_norm import gradient_norm
from ..utils import comm
from ..utils.events import get_event_storage
from ..utils.weights import unwrap_model
from .finite import FiniteWatch, StepRecord, Undo, describe_bad_step
from .loop import TrainerBase

__all__ = ["SimpleTrainer"]

logger = logging.getLogger(__name__)


class SimpleTrainer(TrainerBase):
    """One iteration: forward and backward passes of one batch, or of several that make one, and an optimizer step.

    Nothing in an iteration waits for the device, but every ``check_period`` iterations, after each epoch and before a
    checkpoint it is looked whether the loss and the gradients were finite since the last look.

    Args:
        model: called with a batch dict; returns a dict of scalar losses, which are added up.
        data_loader: endless iterable of batch dicts: micro-batches, with ``accum_steps`` above 1.
        optimizer: steps after the last backward pass of an iteration.
        param_wrapper: ``None``; the second thing that ``build_optimizer`` returns, kept for old callers.
        accum_steps: micro-batches of an iteration, ``SOLVER.ACCUM_STEPS``; losses and gradients are their means.
        check_period: iterations, ``LOG_PERIOD``.
        skip_nonfinite: how many bad iterations of the run may be left out, ``SOLVER.SKIP_NONFINITE``. Above 0 each
            iteration waits for the device once, and the buffers of the model are copied before it.

    Attributes:
        skipped_steps: iterations that were left out so far.
        frozen: parameters that get no update for the time being, whose gradients do not count.
        last_checkpoint: returns the path and iteration of the last checkpoint, for an error, or ``""``.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[dict[str, Any]],
        optimizer: torch.optim.Optimizer,
        param_wrapper: Any = None,
        *,
        accum_steps: int = 1,
        check_period: int = 20,
        skip_nonfinite: int = 0,
    ) -> None:
        super().__init__()
        if accum_steps < 1:
            raise ValueError(f"SOLVER.ACCUM_STEPS must be at least 1 (no accumulation), got {accum_steps}")
        if skip_nonfinite < 0:
            raise ValueError(f"SOLVER.SKIP_NONFINITE must be >= 0 iterations (0: none), got {skip_nonfinite}")
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.param_wrapper = param_wrapper
        self.accum_steps = accum_steps
        self.skip_nonfinite = skip_nonfinite
        self.skipped_steps = 0
        self.frozen: frozenset[nn.Parameter] = frozenset()
        self.last_checkpoint: Callable[[], str] = str
        self.device = next(model.parameters()).device
        self._batches: Iterator[dict[str, Any]] | None = None
        self._watch = FiniteWatch(check_period)

    def run_step(self) -> None:
        """Train on the next batch and put its losses into the event storage."""
        if not self.model.training:
            raise RuntimeError("the model is in eval mode during training; a hook or an evaluation left it there")
        undo = Undo(self.model) if self.skip_nonfinite else None
        losses, paths, data_time = self.compute_gradients()
        record = self._record(losses, paths)
        storage = get_event_storage()
        storage.put_scalar("data_time", data_time)
        if undo is not None and not bool(record.finite):
            self._skip(record, undo)
        else:
            self.update()
            self.write_metrics(record.values, losses)
            if self._watch.add(record):
                self.check_finite()
        if undo is not None:
            storage.put_scalar("skipped_steps", self.skipped_steps, smoothing_hint=False)

    def compute_gradients(self) -> tuple[dict[str, Tensor], list[str], float]:
        """Go forward and backward through the micro-batches of an iteration.

        Returns:
            The losses, means over the micro-batches; the paths of the images; the seconds that were waited for them.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        paths: list[str] = []
        waited = 0.0
        storage = get_event_storage()
        for storage.micro_batch in range(self.accum_steps):
            batch, seconds = self.next_batch()
            waited += seconds
            paths += batch.get("img_paths", ())
            is_last = storage.micro_batch + 1 == self.accum_steps
            with nullcontext() if is_last else self._gradients_stay_here():
                losses = self.forward(batch)
                self.backward(sum(losses.values()) / self.accum_steps)
            for name, value in losses.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        if self.accum_steps > 1:
            sums = {name: value / self.accum_steps for name, value in sums.items()}
        return sums, paths, waited

    def _gradients_stay_here(self) -> AbstractContextManager[None]:
        """Keep data parallelism from averaging gradients that are not complete."""
        return self.model.no_sync() if hasattr(self.model, "no_sync") else nullcontext()

    def next_batch(self) -> tuple[dict[str, Any], float]:
        """Return the next batch on the model's device, and the seconds that it was waited for."""
        start = time.perf_counter()
        if self._batches is None:
            self._batches = iter(DevicePrefetcher(self.data_loader, self.device))
        batch = next(self._batches)
        return batch, time.perf_counter() - start

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Raises:
            ValueError: if there are none.
        """
        losses = self.model(batch)
        if not losses:
            raise ValueError("the model returned no losses; name at least one in MODEL.LOSSES.NAME")
        return losses

    def backward(self, total: Tensor) -> None:
        """Go back through the graph of a micro-batch, whose loss is divided by their number already."""
        total.backward()

    def finish_gradients(self) -> bool:
        """Make the gradients final, and tell whether an infinite one would be the update's own business."""
        return False

    def update(self) -> None:
        """Step the optimizer."""
        self.optimizer.step()

    def discard_update(self) -> None:
        """Forget the gradients of an iteration that is left out."""

    def write_metrics(self, means: dict[str, Tensor], losses: dict[str, Tensor]) -> None:
        """Store the losses and the norm of the gradients.

        Args:
            means: ``total_loss``, its parts and ``grad_norm``, averaged over the ranks.
            losses: the parts alone; of a single one the total is not stored again.
        """
        storage = get_event_storage()
        for name, value in means.items():
            if name != "total_loss" or len(losses) > 1 or "total_loss" not in losses:
                storage.put_scalar(name, value)

    def check_finite(self) -> None:
        """Look whether all iterations since the last look were finite; every rank must call it.

        Raises:
            FloatingPointError: if not, with the first one that was not: its losses and images, the last checkpoint
                and remedies.
        """
        record = self._watch.first_bad()
        if record is not None:
            self._stop(record)

    def check_weights(self) -> None:
        """Look whether the weights are finite, as a checkpoint's must be; see :meth:`check_finite`.

        Raises:
            FloatingPointError: if not.
        """
        bad = [name for name, value in unwrap_model(self.model).named_parameters() if not value.isfinite().all()]
        if any(comm.all_gather(bool(bad))):
            raise FloatingPointError(
                f"after iteration {self.iter} there are weights that are infinite or NaN "
                f"({', '.join(bad[:5]) or 'on another process'}), though its loss was not. {self._remedy()}"
            )

    def after_epoch(self) -> None:
        """Check that the loss is finite before the hooks evaluate and save the model, then call them."""
        self.check_finite()
        super().after_epoch()

    def _record(self, losses: dict[str, Tensor], paths: list[str]) -> StepRecord:
        """Average losses and gradient norm over the ranks; nothing waits for the device."""
        own_total = sum(losses.values())
        left_to_update = self.finish_gradients()
        norm = gradient_norm(
            parameter
            for group in self.optimizer.param_groups
            for parameter in group["params"]
            if parameter not in self.frozen
        ).to(own_total.device)
        means = comm.reduce_dict({"total_loss": own_total, **losses, "grad_norm": norm})
        total = sum(means[name] for name in losses)
        finite = torch.isfinite(total if left_to_update else total + means["grad_norm"])
        return StepRecord(self.iter, means, finite, torch.isfinite(own_total), paths)

    def _skip(self, record: StepRecord, undo: Undo) -> None:
        """Leave an iteration out, or stop if it is one too many."""
        if self.skipped_steps >= self.skip_nonfinite:
            self._stop(record)
        self.skipped_steps += 1
        logger.warning(
            "Left out, %d of at most %d (SOLVER.SKIP_NONFINITE): %s",
            self.skipped_steps,
            self.skip_nonfinite,
            describe_bad_step(record),
        )
        self.discard_update()
        self.optimizer.zero_grad(set_to_none=True)
        undo()

    def _stop(self, record: StepRecord) -> NoReturn:
        skipped = f"{self.skipped_steps} iterations were left out before it. " if self.skipped_steps else ""
        raise FloatingPointError(f"{describe_bad_step(record)}. {skipped}{self._remedy()}")

    def _remedy(self) -> str:
        return (
            f"Last good checkpoint: {self.last_checkpoint() or 'none was saved yet'}. Look at these images; lower "
            "SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS, set SOLVER.CLIP_GRADIENTS.ENABLED True, turn SOLVER.AMP off "
            "(or its DTYPE to bfloat16), or let SOLVER.SKIP_NONFINITE leave out a few such iterations"
        )
