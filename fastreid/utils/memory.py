"""How much memory a process holds."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

__all__ = ["ResidentPeak", "resident_mib"]

_STATM = Path("/proc/self/statm")


def resident_mib() -> float | None:
    """Return the resident memory of this process in MiB, without that of its children.

    On Linux what it is now; on macOS and other Unix systems its peak so far, which is what they tell; ``None`` where
    the system tells neither (Windows).
    """
    if _STATM.is_file():
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere


class ResidentPeak:
    """Watch how much the resident memory of this process grows in a ``with`` block, from a thread that looks often.

    Memory that the process had freed before, and takes up again, does not count; a peak shorter than ``period`` may be
    missed.

    Args:
        period: seconds between two looks, > 0.

    Attributes:
        mib: the result, in MiB, at least 0; ``None`` where the system does not tell.
    """

    def __init__(self, period: float = 0.01) -> None:
        self._period = period
        self.mib: float | None = None

    def __enter__(self) -> ResidentPeak:
        self._start = resident_mib()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._start is not None:
            self.mib = 0.0
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        if self._start is not None:
            self._thread.join()
            self._look()

    def _watch(self) -> None:
        while not self._done.wait(self._period):
            self._look()

    def _look(self) -> None:
        self.mib = max(self.mib, resident_mib() - self._start)
