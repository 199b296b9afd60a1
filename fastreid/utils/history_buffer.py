"""The values that one scalar took over a run."""

from __future__ import annotations

from collections import deque
from itertools import islice

import numpy as np
import torch
from torch import Tensor

__all__ = ["HistoryBuffer"]

# Tensors that wait to be read; more than this and they are fetched unasked, so that memory stays bounded.
_MAX_PENDING = 1024


class HistoryBuffer:
    """Keep the latest values of a scalar and smooth them.

    A value may be a tensor on any device: it is copied there and brought to the host only when
    somebody reads, so that recording one costs no synchronisation. :meth:`global_avg` also covers
    the values that ``max_length`` has pushed out.

    Args:
        max_length: number of values to keep, at least 1.

    Example:
        >>> history = HistoryBuffer()
        >>> for value in (4.0, 1.0, 2.0):
        ...     history.update(value)
        >>> history.latest(), history.median(3), history.avg(2)
        (2.0, 2.0, 1.5)
    """

    def __init__(self, max_length: int = 1000000) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        self._data: deque[tuple[float, float]] = deque(maxlen=max_length)
        self._pending: list[tuple[Tensor | float, float]] = []  # not yet in _data, oldest first
        self._sum = 0.0
        self._updates = 0

    def __len__(self) -> int:
        """Return how many values were ever added."""
        return self._updates

    def update(self, value: float | Tensor, iteration: float | None = None) -> None:
        """Add one value.

        Args:
            value: a number, or a tensor with one element on any device; later changes to it do not matter.
            iteration: where it belongs; the number of values so far if not given.

        Raises:
            ValueError: if a tensor has not exactly one element.
        """
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(f"a scalar must have one element, got a tensor of shape {tuple(value.shape)}")
            value = value.detach().reshape(()).clone()
        else:
            value = float(value)
        self._pending.append((value, self._updates if iteration is None else iteration))
        self._updates += 1
        if len(self._pending) >= _MAX_PENDING:
            self._fetch()

    def latest(self) -> float:
        """Return the newest value."""
        return self._last(1)[0]

    def median(self, window_size: int) -> float:
        """Return the median of the newest ``window_size`` values (of all, where there are fewer)."""
        return float(np.median(self._last(window_size)))

    def avg(self, window_size: int) -> float:
        """Return the mean of the newest ``window_size`` values (of all, where there are fewer)."""
        return float(np.mean(self._last(window_size)))

    def global_avg(self) -> float:
        """Return the mean of all values ever added."""
        self._fetch()
        if not self._updates:
            raise ValueError("the history is empty; add a value with update() first")
        return self._sum / self._updates

    def values(self) -> list[tuple[float, float]]:
        """Return the kept ``(value, iteration)`` pairs, oldest first."""
        self._fetch()
        return list(self._data)

    def _last(self, count: int) -> list[float]:
        """Return the newest ``count`` values, newest first."""
        if count < 1:
            raise ValueError(f"window_size must be at least 1, got {count}")
        self._fetch()
        if not self._data:
            raise ValueError("the history is empty; add a value with update() first")
        return [value for value, _ in islice(reversed(self._data), count)]

    def _fetch(self) -> None:
        """Bring the waiting tensors to the host: one transfer for all of a device and dtype."""
        groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for value, _ in self._pending:
            if isinstance(value, Tensor):
                groups.setdefault((value.device, value.dtype), []).append(value)
        fetched = {key: iter(torch.stack(tensors).tolist()) for key, tensors in groups.items()}
        for value, iteration in self._pending:
            number = float(next(fetched[value.device, value.dtype])) if isinstance(value, Tensor) else value
            self._data.append((number, iteration))
            self._sum += number
        self._pending.clear()
