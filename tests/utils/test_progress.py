from __future__ import annotations

import io
import logging
import re
import sys

import pytest

from fastreid.utils import progress as progress_module
from fastreid.utils.logger import setup_logger
from fastreid.utils.progress import Progress, clear_progress_line, progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module, "monotonic", lambda: now[0])
    return now


def _use_terminal(monkeypatch) -> _Terminal:
    # called in the test itself: pytest puts its own streams back between a fixture and its test
    stream = _Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def _messages(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_plain_lines_come_at_most_every_30_seconds_and_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO)
    for _ in progress(range(10), desc="Inference", unit="batch"):
        clock[0] += 12
    assert _messages(caplog) == [
        "Inference done 3/10. 12.0000 s / batch. ETA=0:01:24",
        "Inference done 6/10. 12.0000 s / batch. ETA=0:00:48",
        "Inference done 9/10. 12.0000 s / batch. ETA=0:00:12",
        "Inference done 10/10. 12.0000 s / batch. Total 0:02:00",
    ]


def test_a_resumed_run_counts_only_its_own_speed(clock, caplog):
    caplog.set_level(logging.INFO)
    with Progress(total=100, desc="Training", initial=90) as bar:
        for _ in range(5):
            clock[0] += 10
            bar.update()
    assert _messages(caplog)[0] == "Training done 93/100. 10.0000 s / it. ETA=0:01:10"


def test_unknown_total_and_empty_loop(clock, caplog):
    caplog.set_level(logging.INFO)
    assert list(progress(iter(()), desc="Reading", unit="file")) == []
    for _ in progress(iter([1, 2]), desc="Reading", unit="file"):
        clock[0] += 40
    assert _messages(caplog) == [
        "Reading done 0. 0.0000 s / file. Total 0:00:00",
        "Reading done 1. 40.0000 s / file. ETA=unknown",
        "Reading done 2. 40.0000 s / file. ETA=unknown",
        "Reading done 2. 40.0000 s / file. Total 0:01:20",
    ]


def test_silent_where_something_else_reports(clock, caplog):
    caplog.set_level(logging.INFO)
    for _ in progress(range(3), desc="Training", plain_every=None):
        clock[0] += 100
    assert _messages(caplog) == []


def test_a_terminal_sees_one_moving_line(clock, caplog, monkeypatch):
    terminal = _use_terminal(monkeypatch)
    caplog.set_level(logging.INFO)
    with Progress(total=4, desc="Painting", unit="image") as bar:
        for step in range(4):
            clock[0] += 0.5
            bar.update(note=f"step {step}")
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[1] == "Painting: 1/4 (25 %)  2.00 image/s  ETA 0:00:02  step 0"
    assert lines[4] == "Painting: 4/4 (100 %)  2.00 image/s  ETA 0:00:00  step 3"
    assert lines[5] == ""  # wiped at the end
    assert "\n" not in terminal.getvalue()
    assert _messages(caplog) == ["Painting done 4/4. 0.5000 s / image. Total 0:00:02"]


def test_the_line_is_not_drawn_more_than_ten_times_a_second(clock, monkeypatch):
    terminal = _use_terminal(monkeypatch)
    with Progress(total=1000, desc="Fast", plain_every=None) as bar:
        for _ in range(1000):
            clock[0] += 0.001
            bar.update()
    assert 9 <= terminal.getvalue().count("Fast:") <= 10


def test_the_line_fits_the_terminal(clock, monkeypatch):
    terminal = _use_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "20")
    with Progress(total=10, desc="A long description", plain_every=None) as bar:
        clock[0] += 1
        bar.update()
    assert terminal.getvalue().split("\r\x1b[K")[1] == "A long description:"


def test_a_log_line_wipes_the_moving_line_first(clock, monkeypatch):
    terminal = _use_terminal(monkeypatch)
    # both streams on one terminal
    monkeypatch.setattr(sys, "stdout", terminal)
    logger = setup_logger(color=False)
    with Progress(total=2, desc="Inference", plain_every=None) as bar:
        clock[0] += 1
        bar.update()
        logger.info("a message")
        clock[0] += 1
        bar.update()
    assert re.search(r"ETA 0:00:01\r\x1b\[K\[.*\]: a message\n\r\x1b\[KInference: 2/2", terminal.getvalue())


def test_wiping_without_a_line_writes_nothing(monkeypatch):
    terminal = _use_terminal(monkeypatch)
    clear_progress_line()
    assert terminal.getvalue() == ""


def test_an_error_inside_the_loop_leaves_no_line_behind(clock, monkeypatch):
    terminal = _use_terminal(monkeypatch)
    bar = Progress(total=3, desc="Inference", plain_every=None)
    with pytest.raises(RuntimeError, match="broken"), bar:
        clock[0] += 1
        bar.update()
        raise RuntimeError("broken")
    assert terminal.getvalue().endswith("\r\x1b[K")
    bar.close()  # a second time does nothing
    clear_progress_line()
    assert terminal.getvalue().count("\r\x1b[K") == 2


def test_negative_total_is_an_error():
    with pytest.raises(ValueError, match="total must be at least 0, or None if it is not known, got -1"):
        Progress(total=-1, desc="x")
