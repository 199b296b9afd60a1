"""The event files of TensorBoard."""

from __future__ import annotations

import functools
from typing import Any

from .storage import get_event_storage
from .writer import EventWriter, NewScalars

__all__ = ["TensorboardXWriter"]


class TensorboardXWriter(EventWriter):
    """Write scalars, images and histograms for TensorBoard.

    Event files of a run that went further than the iteration that this one starts from keep their content; TensorBoard
    is told not to show it (``purge_step``).

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
        self._make = functools.partial(SummaryWriter, log_dir)
        self._options = kwargs
        self._writer: Any = None  # made by the first write, which knows where the run starts
        self._new = NewScalars(window_size)

    def write(self) -> None:
        """Write what is new in the current storage; images and histograms are then dropped from it."""
        storage = get_event_storage()
        if self._writer is None:
            self._writer = self._make(**{"purge_step": storage.start_iter or None, **self._options})
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
        if self._writer is not None:
            self._writer.close()
