"""Where the numbers of a run are put while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..history_buffer import HistoryBuffer

__all__ = ["EventStorage", "get_event_storage", "has_event_storage"]

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
        start_iter: as given: what writers kept of this iteration and later ones belongs to a run that was given up.
        iter: the current iteration, 0-based; the loop advances it with :meth:`step`.
        epoch: the current epoch, 0-based; the loop sets it.
        micro_batch: the current part of the iteration, 0-based, where gradients are accumulated; the loop sets it.

    Example:
        >>> with EventStorage() as storage:
        ...     storage.put_scalar("loss", 0.5)
        ...     storage.step()
        ...     get_event_storage().latest()
        {'loss': (0.5, 0)}
    """

    def __init__(self, start_iter: int = 0) -> None:
        self.start_iter = self.iter = start_iter
        self.epoch = 0
        self.micro_batch = 0
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

    def written_at(self, name: str) -> int | None:
        """Return the iteration of the newest value of one scalar, ``None`` if it has none; waits for no device."""
        return self._written_at.get(name)

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
