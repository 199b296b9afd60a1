"""Time and peak memory of what a function does."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["PeakAnonymousMemory", "PeakMemory", "seconds", "synchronize"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PAGES = Path("/proc/self/statm")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given; on a CPU that is so at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds(function: Callable[[], object], device: torch.device | None = None) -> float:
    """Return the seconds that one call takes, up to the end of what it started on ``device``."""
    device = device or torch.device("cpu")
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


class PeakMemory:
    """Measure how much memory a ``with`` block takes above what was taken at its start.

    On CUDA: what torch allocates on the device. Elsewhere: the resident memory of this process; children are not
    counted, nor is memory that the process had freed before and takes up again. Where the system cannot forget an
    earlier peak (it can on Linux), a lower peak than that counts as 0.

    Attributes:
        mib: the result, in MiB, at least 0.
        start_mib: what was taken at the start, in MiB.
        peak_mib: what was taken at the peak, in MiB.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self.mib = self.start_mib = self.peak_mib = 0.0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self.start_mib = torch.cuda.memory_allocated(self._device) / 2**20
        else:
            with suppress(OSError):  # Linux only, and not in every container
                _CLEAR.write_text("5", encoding="ascii")  # the peak so far is forgotten
            self.start_mib = _peak_resident_mib()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._device.type == "cuda":
            self.peak_mib = torch.cuda.max_memory_allocated(self._device) / 2**20
        else:
            self.peak_mib = _peak_resident_mib()
        self.mib = max(0.0, self.peak_mib - self.start_mib)


class PeakAnonymousMemory:
    """Measure how much memory that is in no file a ``with`` block takes above what was taken at its start.

    A file that is mapped into memory does not count: the system takes its pages back when it needs them. A thread looks
    every few milliseconds, so that a shorter peak goes unseen. Needs Linux.

    Attributes:
        mib: the result, in MiB, at least 0.

    Raises:
        OSError: on entering, where the system does not tell.
    """

    def __init__(self, period: float = 0.005) -> None:
        self._period = period
        self.mib = 0.0

    def __enter__(self) -> PeakAnonymousMemory:
        self._start = self._peak = _anonymous_mib()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        self.mib = max(self._peak, _anonymous_mib()) - self._start

    def _watch(self) -> None:
        while not self._stop.wait(self._period):
            self._peak = max(self._peak, _anonymous_mib())


def _anonymous_mib() -> float:
    if not _PAGES.is_file():
        raise OSError(f"there is no {_PAGES} on this system, which tells memory of files from other memory")
    _, resident, of_files, *_ = _PAGES.read_text(encoding="ascii").split()
    return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_resident_mib() -> float:
    if _STATUS.is_file():
        (line,) = (line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10  # from KiB
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere
