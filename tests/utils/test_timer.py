from __future__ import annotations

import pytest

from fastreid.utils import timer as timer_module
from fastreid.utils.timer import Timer


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(timer_module, "perf_counter", lambda: now[0])
    return now


def test_pauses_do_not_count(clock):
    timer = Timer()
    clock[0] += 2
    timer.pause()
    assert timer.is_paused()
    clock[0] += 50
    assert timer.seconds() == 2
    timer.resume()
    assert not timer.is_paused()
    clock[0] += 4
    assert timer.seconds() == 6
    assert timer.avg_seconds() == 3  # two stretches


def test_reset_starts_again(clock):
    timer = Timer()
    clock[0] += 2
    timer.pause()
    timer.reset()
    clock[0] += 1
    assert (timer.seconds(), timer.avg_seconds(), timer.is_paused()) == (1, 1, False)


def test_wrong_order_is_an_error(clock):
    timer = Timer()
    with pytest.raises(ValueError, match="running; call pause"):
        timer.resume()
    timer.pause()
    with pytest.raises(ValueError, match="paused already; call resume"):
        timer.pause()
