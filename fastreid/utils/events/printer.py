"""The log line of training."""

from __future__ import annotations

import datetime
import logging

import torch

from .storage import EventStorage, get_event_storage
from .writer import EventWriter

__all__ = ["CommonMetricPrinter"]

logger = logging.getLogger(__package__)  # scripts look for the lines of fastreid.utils.events


class CommonMetricPrinter(EventWriter):
    """Log one line with the state of the training.

    `` eta: 0:02:27  epoch/iter: 102/20805  total_loss: 40.63  loss_cls: 6.729  loss_triplet: 33.88  time: 0.0435
    data_time: 0.0008  lr: 3.50e-06  max_mem: 7040M``: losses are medians over 200 iterations, ``time`` the mean
    seconds of all iterations, ``data_time`` the mean seconds of the latest 20 spent waiting for data, ``max_mem``
    the peak of allocated CUDA memory in MiB. What was not measured is left out. It also puts ``eta_seconds`` into
    the storage, so it comes before the writers that keep it.

    Args:
        max_iter: number of iterations of the whole training.
    """

    def __init__(self, max_iter: int) -> None:
        self._max_iter = max_iter
        self._last_iter: int | None = None

    def write(self) -> None:
        """Log the line, at most once for an iteration."""
        storage = get_event_storage()
        if storage.iter == self._last_iter:
            return
        self._last_iter = storage.iter
        histories = storage.histories()
        fields: list[tuple[str, str]] = [
            ("eta", self._eta(storage)),
            ("epoch/iter", f"{storage.epoch}/{storage.iter}"),
        ]
        losses = sorted((name for name in histories if "loss" in name), key=lambda name: name != "total_loss")
        fields += [
            (name, f"{histories[name].median(200):.4g}") for name in losses
        ]  # the total first, then as they came
        if "time" in histories:
            fields.append(("time", f"{histories['time'].global_avg():.4f}"))
        if "data_time" in histories:
            fields.append(("data_time", f"{histories['data_time'].avg(20):.4f}"))
        if "lr" in histories:
            fields.append(("lr", f"{histories['lr'].latest():.2e}"))
        if torch.cuda.is_available():
            fields.append(("max_mem", f"{torch.cuda.max_memory_allocated() / 2**20:.0f}M"))
        logger.info(" %s", "  ".join(f"{name}: {value}" for name, value in fields))

    def _eta(self, storage: EventStorage) -> str:
        """Tell how long the remaining iterations take if each takes the median of the latest 1000."""
        histories = storage.histories()
        if "time" not in histories:
            return "N/A"
        seconds = histories["time"].median(1000) * max(self._max_iter - storage.iter - 1, 0)
        storage.put_scalar("eta_seconds", seconds, smoothing_hint=False)
        return str(datetime.timedelta(seconds=int(seconds)))
