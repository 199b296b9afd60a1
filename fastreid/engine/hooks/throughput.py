"""Measure what training gets out of the machine."""

from __future__ import annotations

import time

import torch

from ...utils.memory import resident_mib
from ..loop import HookBase

__all__ = ["Throughput"]


class Throughput(HookBase):
    """Record speed, waiting for data, and memory, over the iterations since the last record.

    The scalars:

    - ``images_per_second``: of all ranks together, evaluation, checkpoints and the other hooks left out;
    - ``data_wait``: share of the time of the iterations that this rank waited for its loader, 0..1;
    - ``max_mem_mib``: the peak of allocated CUDA memory since the start, in MiB, on CUDA;
    - ``rss_mib``: resident memory of this process in MiB, without loader workers, where the system tells it.

    They are due every ``period`` iterations and at the end of each epoch, when the writers read the losses from the
    device, too; only then it waits for the device. Register it second, behind ``IterationTimer``.

    Args:
        images_per_iter: images that all ranks together train on in an iteration (``SOLVER.IMS_PER_BATCH``).
        period: in iterations, at least 1 (``LOG_PERIOD``).
        device: of the model.
    """

    def __init__(self, images_per_iter: int, period: int, device: torch.device | str = "cpu") -> None:
        if period < 1:
            raise ValueError(f"LOG_PERIOD must be at least 1 iteration, got {period}")
        self._images_per_iter = images_per_iter
        self._period = period
        self._device = torch.device(device)
        self._step_start = 0.0
        self._forget()

    def before_step(self) -> None:
        """Start the clock of the step."""
        self._step_start = time.perf_counter()

    def after_step(self) -> None:
        """Add the step, and record if it is due."""
        trainer = self.trainer
        self._iterations += 1
        finished = trainer.iter + 1
        due = finished % self._period == 0 or finished % trainer.iters_per_epoch == 0
        if due:
            self._wait_for_device()
        self._seconds += time.perf_counter() - self._step_start
        if due:
            self._record()
            self._forget()

    def _record(self) -> None:
        storage = self.trainer.storage
        found: dict[str, float | None] = {
            "images_per_second": self._images_per_iter * self._iterations / self._seconds,
            "rss_mib": resident_mib(),
        }
        if "data_time" in storage.histories():
            waited = storage.history("data_time").avg(self._iterations) * self._iterations
            found["data_wait"] = min(1.0, waited / self._seconds)
        if self._device.type == "cuda":
            found["max_mem_mib"] = torch.cuda.max_memory_allocated(self._device) / 2**20
        storage.put_scalars(**{name: value for name, value in found.items() if value is not None}, smoothing_hint=False)

    def _forget(self) -> None:
        self._iterations = 0
        self._seconds = 0.0

    def _wait_for_device(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
