"""What every writer of a run's numbers is."""

from __future__ import annotations

from typing import IO

from .storage import EventStorage

__all__ = ["EventWriter", "NewScalars", "flush"]


class EventWriter:
    """What shows or keeps the numbers of the current :class:`EventStorage`; subclasses implement :meth:`write`."""

    def write(self) -> None:
        """Read the current storage and write what is new in it."""
        raise NotImplementedError(f"{type(self).__name__} must implement write()")

    def close(self) -> None:
        """Release what the writer holds; a writer without a file has nothing to do."""


class NewScalars:
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


def flush(file: IO[str]) -> None:
    """Hand what was written to the system.

    Raises:
        OSError: with the name of the file in it, if the disk is full or not writable.
    """
    try:
        file.flush()
    except OSError as error:
        reason = f"{error.strerror or error}; free some space or check the rights of its folder, and resume the run"
        raise OSError(error.errno, f"cannot write {file.name}: {reason}") from error
