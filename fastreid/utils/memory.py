"""How much memory a process holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["resident_mib"]

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
