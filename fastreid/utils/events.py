"""What a run measures, and the writers that show and keep it.

The loop opens an :class:`EventStorage`; everything inside puts its numbers there; every now and then
the writers read it. Putting a tensor costs no synchronisation with its device: reading does.
"""

from __future__ import annotations

import datetime
import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .history_buffer import HistoryBuffer

__all__ = [
    "CommonMetricPrinter",
    "EventStorage",
    "EventWriter",
    "JSONWriter",
    "TensorboardXWriter",
    "get_event_storage",
    "has_event_storage",
]

logger = logging.getLogger(__name__)

_open_storages: list[EventStorage] = []


def get_event_storage() -> EventStorage:
    """Return the innermost storage that is open.

    Raises:
        AssertionError: outside every ``with EventStorage(...)`` block; ask :func:`has_event_storage` first where
            that can be.
    """
    if not _open_storages:
        raise AssertionError("no event storage is open: call this inside a 'with EventStorage(...)' block")
    return _open_storages[-1]


def has_event_storage() -> bool:
    """Tell whether :func:`get_event_storage` has one to return (a trainer is running)."""
    return bool(_open_storages)


class EventStorage:
    """Hold the scalars, images and histograms of a run; a context manager makes it the current one.

    Args:
        start_iter: the first iteration, 0-based; not 0 when a run is resumed.

    Attributes:
        iter: the current iteration, 0-based; the loop advances it with :meth:`step`.
        epoch: the current epoch, 0-based; the loop sets it.

    Example:
        >>> with EventStorage() as storage:
        ...     storage.put_scalar("loss", 0.5)
        ...     storage.step()
        ...     get_event_storage().latest()
        {'loss': (0.5, 0)}
    """

    def __init__(self, start_iter: int = 0) -> None:
        self.iter = start_iter
        self.epoch = 0
        self._prefix = ""
        self._histories: dict[str, HistoryBuffer] = {}
        self._written_at: dict[str, int] = {}  # name -> iteration of its newest value
        self._smoothing_hints: dict[str, bool] = {}
        self._images: list[tuple[str, Tensor, int]] = []
        self._histograms: list[dict[str, Any]] = []

    @property
    def iteration(self) -> int:
        """The current iteration; another name of ``iter``."""
        return self.iter

    def step(self) -> None:
        """Go on to the next iteration."""
        self.iter += 1

    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Put ``name/`` before every name that is used inside the block; blocks nest."""
        outer = self._prefix
        self._prefix = f"{outer}{name.rstrip('/')}/"
        try:
            yield
        finally:
            self._prefix = outer

    def put_scalar(self, name: str, value: float | Tensor, smoothing_hint: bool = True) -> None:
        """Add a value of the scalar ``name`` at the current iteration.

        Args:
            name: such as ``loss_cls``.
            value: a number, or a tensor with one element, which is copied on its device and not waited for.
            smoothing_hint: whether the scalar is noisy, so that writers show a median; the same for all its values.

        Raises:
            ValueError: if the hint differs from the one that this scalar came with before.
        """
        name = self._prefix + name
        if self._smoothing_hints.setdefault(name, smoothing_hint) != smoothing_hint:
            raise ValueError(
                f"scalar {name!r} was put with smoothing_hint={self._smoothing_hints[name]} before, now with "
                f"{smoothing_hint}; use one for all its values"
            )
        self._histories.setdefault(name, HistoryBuffer()).update(value, self.iter)
        self._written_at[name] = self.iter

    def put_scalars(self, *, smoothing_hint: bool = True, **kwargs: float | Tensor) -> None:
        """Add several scalars: ``put_scalars(loss_cls=0.5, loss_triplet=0.2)``."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint)

    def put_image(self, img_name: str, img_tensor: Tensor) -> None:
        """Add an image for TensorBoard: ``(3, H, W)``, uint8 0..255 or float 0..1; it is kept until it is written."""
        self._images.append((self._prefix + img_name, img_tensor, self.iter))

    def put_histogram(self, hist_name: str, hist_tensor: Tensor, bins: int = 1000) -> None:
        """Add a histogram for TensorBoard of all finite values of ``hist_tensor``, in ``bins`` equal bins."""
        values = hist_tensor.detach().flatten().float().cpu()
        values = values[values.isfinite()]
        if not len(values):
            raise ValueError(f"histogram {hist_name!r} has no finite value among {hist_tensor.numel()}")
        low, high = values.min().item(), values.max().item()
        counts = torch.histc(values, bins=bins, min=low, max=high)  # (bins,)
        edges = torch.linspace(low, high, bins + 1)
        self._histograms.append(
            {
                "tag": self._prefix + hist_name,
                "min": low,
                "max": high,
                "num": len(values),
                "sum": values.sum().item(),
                "sum_squares": values.square().sum().item(),
                "bucket_limits": edges[1:].tolist(),
                "bucket_counts": counts.tolist(),
                "global_step": self.iter,
            }
        )

    @property
    def images(self) -> list[tuple[str, Tensor, int]]:
        """The ``(name, image, iteration)`` triples that wait to be written."""
        return list(self._images)

    @property
    def histograms(self) -> list[dict[str, Any]]:
        """The histograms that wait to be written, as arguments of ``SummaryWriter.add_histogram_raw``."""
        return list(self._histograms)

    def clear_images(self) -> None:
        """Drop the waiting images."""
        self._images.clear()

    def clear_histograms(self) -> None:
        """Drop the waiting histograms."""
        self._histograms.clear()

    def history(self, name: str) -> HistoryBuffer:
        """Return the values of one scalar.

        Raises:
            KeyError: if it has none; the message lists what there is.
        """
        if name not in self._histories:
            known = ", ".join(sorted(self._histories)) or "nothing yet"
            raise KeyError(f"no scalar {name!r} was put; there is: {known}")
        return self._histories[name]

    def histories(self) -> dict[str, HistoryBuffer]:
        """Return the values of every scalar, by name."""
        return dict(self._histories)

    def smoothing_hints(self) -> dict[str, bool]:
        """Return for every scalar whether it is noisy."""
        return dict(self._smoothing_hints)

    def latest(self) -> dict[str, tuple[float, int]]:
        """Return the newest value of every scalar and its iteration."""
        return {name: (history.latest(), self._written_at[name]) for name, history in self._histories.items()}

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """Like :meth:`latest`, with the median of the newest ``window_size`` values where a scalar is noisy."""
        return {
            name: (
                history.median(window_size) if self._smoothing_hints[name] else history.latest(),
                self._written_at[name],
            )
            for name, history in self._histories.items()
        }

    def __enter__(self) -> EventStorage:
        _open_storages.append(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not _open_storages or _open_storages[-1] is not self:
            raise AssertionError("event storages must be closed in the reverse order of their opening")
        _open_storages.pop()


class EventWriter:
    """What shows or keeps the numbers of the current :class:`EventStorage`; subclasses implement :meth:`write`."""

    def write(self) -> None:
        """Read the current storage and write what is new in it."""
        raise NotImplementedError(f"{type(self).__name__} must implement write()")

    def close(self) -> None:
        """Release what the writer holds; a writer without a file has nothing to do."""


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


class _NewScalars:
    """Remember what one writer has written, scalar by scalar, so that nothing is written twice and nothing is lost."""

    def __init__(self, window_size: int) -> None:
        self._window_size = window_size
        self._seen: dict[str, int] = {}  # name -> number of its values that were put before the last write

    def take(self, storage: EventStorage) -> dict[int, dict[str, float]]:
        """Return the scalars that got a value since the last call: iteration -> name -> value, smoothed."""
        counts = {name: len(history) for name, history in storage.histories().items()}
        new: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in storage.latest_with_smoothing_hint(self._window_size).items():
            if counts[name] != self._seen.get(name, 0):
                new.setdefault(iteration, {})[name] = value
        self._seen = counts
        return dict(sorted(new.items()))


class JSONWriter(EventWriter):
    """Append the scalars to a file, one JSON object with sorted keys a line.

    A line holds ``iteration`` and every scalar whose newest value belongs to it and was not written before; noisy
    ones as the median of ``window_size`` values. An iteration can have several lines: an evaluation after the
    last training line of an epoch has one of its own. NaN and infinity become ``null``, so that every line is JSON.

    The file is only ever appended to. A run resumed from the end of its last epoch continues it without a repeated
    iteration; one resumed from an older checkpoint writes the iterations that it repeats again, and a reader
    takes the last line of an iteration for a scalar.

    Args:
        json_file: path of the file; folders are made.
        window_size: number of values that a noisy scalar's median covers.
    """

    def __init__(self, json_file: str, window_size: int = 20) -> None:
        path = Path(json_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = _ends_without_newline(path)
        self._file = path.open("a", encoding="utf-8")
        if torn:  # the process that wrote it was killed in the middle of a line
            self._file.write("\n")
        self._new = _NewScalars(window_size)

    def write(self) -> None:
        """Append what is new in the current storage."""
        for iteration, scalars in self._new.take(get_event_storage()).items():
            line = {"iteration": iteration, **_finite_or_none(scalars)}
            self._file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorboardXWriter(EventWriter):
    """Write scalars, images and histograms for TensorBoard.

    Args:
        log_dir: folder of the event files.
        window_size: number of values that a noisy scalar's median covers.
        kwargs: further arguments of ``torch.utils.tensorboard.SummaryWriter``.

    Raises:
        ImportError: if TensorBoard is not installed.
    """

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs: Any) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorboardXWriter needs the package tensorboard: pip install 'fastreid[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(log_dir, **kwargs)
        self._new = _NewScalars(window_size)

    def write(self) -> None:
        """Write what is new in the current storage; images and histograms are then dropped from it."""
        storage = get_event_storage()
        for iteration, scalars in self._new.take(storage).items():
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, iteration)
        for name, image, iteration in storage.images:
            self._writer.add_image(name, image, iteration)
        storage.clear_images()
        for histogram in storage.histograms:
            self._writer.add_histogram_raw(**histogram)
        storage.clear_histograms()

    def close(self) -> None:
        """Write what is buffered and close the event file."""
        self._writer.close()


def _finite_or_none(scalars: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in scalars.items()}


def _ends_without_newline(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"
