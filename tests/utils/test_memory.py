from __future__ import annotations

import builtins
import mmap
import sys
import time
from pathlib import Path

import pytest

from fastreid.utils import memory
from fastreid.utils.memory import ResidentPeak, resident_mib


def touched(mib):
    """Return memory straight from the system: what Python frees may be kept, and taken up again unseen."""
    block = mmap.mmap(-1, mib * 2**20)
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    return block


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="only Linux tells what is resident now")
def test_memory_that_is_used_is_counted_and_given_back():
    before = resident_mib()
    block = touched(64)
    during = resident_mib()
    block.close()
    assert during - before == pytest.approx(64, abs=8)
    assert resident_mib() - before < 32


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells nothing")
def test_other_systems_tell_their_peak_and_windows_nothing(monkeypatch):
    now = resident_mib()
    monkeypatch.setattr(memory, "_STATM", Path("/no/such/file"))
    assert resident_mib() >= now * 0.9
    real_import = builtins.__import__

    def without_resource(name, *args, **kwargs):
        if name == "resource":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_resource)
    assert resident_mib() is None


def test_resident_peak_sees_memory_that_is_gone_at_the_end():
    with ResidentPeak() as peak:
        block = touched(64)
        end = time.monotonic() + 60
        while peak.mib is not None and peak.mib <= 32 and time.monotonic() < end:
            time.sleep(0.01)
        block.close()
    assert peak.mib is None or peak.mib > 32


def test_resident_peak_of_nothing_is_small():
    with ResidentPeak() as peak:
        pass
    assert peak.mib is None or 0 <= peak.mib < 32
