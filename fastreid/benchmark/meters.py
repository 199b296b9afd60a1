"""Time and peak memory of what a function does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["PeakMemory", "seconds", "synchronize"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


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
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self.mib = 0.0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start = torch.cuda.memory_allocated(self._device) / 2**20
        else:
            with suppress(OSError):  # Linux only, and not in every container
                _CLEAR.write_text("5", encoding="ascii")  # the peak so far is forgotten
            self._start = _peak_resident_mib()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device) / 2**20
        else:
            peak = _peak_resident_mib()
        self.mib = max(0.0, peak - self._start)


def _peak_resident_mib() -> float:
    if _STATUS.is_file():
        (line,) = (line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10  # from KiB
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere
