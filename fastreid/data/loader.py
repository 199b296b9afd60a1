"""torch's loader, which also says which of its worker processes is dead."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

__all__ = ["NamingLoader", "WorkerDied"]

_PATIENCE = 2.0  # seconds that the system may take to bury a process whose connection has broken already


class WorkerDied(RuntimeError):
    """A worker process of a loader ended by itself; the message says which, and how."""


class NamingLoader(DataLoader):
    """A ``DataLoader`` that raises :class:`WorkerDied` when one of its worker processes is gone.

    torch itself names the process in most cases; a worker that dies while it hands a batch over shows as a broken
    connection only.
    """

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the batches."""
        return _NamingIterator(super().__iter__())


class _NamingIterator:
    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> _NamingIterator:
        return self

    def __len__(self) -> int:
        return len(self.batches)

    def __next__(self) -> Any:
        try:
            return next(self.batches)
        except (ConnectionError, EOFError, RuntimeError) as error:
            found = _dead_workers(getattr(self.batches, "_workers", []), error)
            if not found:
                raise
            raise WorkerDied(
                f"{found}; SIGKILL often means that the memory is full, SIGBUS that the shared memory is: lower "
                "DATALOADER.NUM_WORKERS or TEST.NUM_WORKERS"
            ) from error


def _dead_workers(workers: list[Any], error: BaseException) -> str:
    """Say which workers are dead; after a broken connection, give them a moment to be."""
    broken = isinstance(error, ConnectionError | EOFError)
    deadline = time.monotonic() + (_PATIENCE if broken and workers else 0.0)
    while True:
        try:
            dead = [
                f"DataLoader worker {number} (pid {worker.pid}) {_end(worker.exitcode)}"
                for number, worker in enumerate(workers)
                if worker.exitcode not in (None, 0)
            ]
            if dead or time.monotonic() >= deadline:
                return ", ".join(dead)
            time.sleep(0.02)
        except RuntimeError:  # torch's handler of SIGCHLD, which runs at any moment: now there is one to be found
            continue


def _end(code: int) -> str:
    if code >= 0:
        return f"exited unexpectedly with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
