"""One clear message of whatever ends a process, and nobody is left behind; forked processes stand for the ranks."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from fastreid.data.data_utils import ImageReadError
from fastreid.engine.stopped import STOPPED_EXIT_CODE, RunStopped
from fastreid.engine.supervise import RankFailed, reporting, supervise
from fastreid.utils.comm import NeighbourFailed

LONG = 60  # seconds; nobody waits for them


def finishes(folder):
    pass


def waits(folder):
    time.sleep(LONG)


def is_killed(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def leaves_without_a_word(folder):
    os._exit(3)


def raises(folder):
    with reporting(1, folder):
        raise ImageReadError("cannot decode the image a/b.jpg; replace it")


def notices_later(folder):
    """Stands for a rank that loses the connection to its neighbour, and says so."""
    with reporting(0, folder):
        time.sleep(0.2)
        raise RuntimeError("Connection closed by peer")


def is_told(folder):
    """Stands for a rank that a neighbour told of its error, before that could say so itself."""
    with reporting(0, folder):
        raise NeighbourFailed("rank 1 failed with ImageReadError: cannot decode the image a/b.jpg")


def raises_later(folder):
    time.sleep(0.2)
    raises(folder)


def aborts(folder):
    faulthandler.disable()  # pytest's, which would print where
    os.abort()


def raises_and_does_not_get_away(folder):
    with pytest.raises(SystemExit), reporting(1, folder):
        raise ImageReadError("cannot decode the image a/b.jpg; replace it")
    time.sleep(LONG)


def hears_of_a_worker(folder):
    with reporting(1, folder):
        raise RuntimeError(
            "Caught ImageReadError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n"
            '  File "x.py", line 1\nfastreid.ImageReadError: cannot decode the image a/b.jpg\n'
        )


def stops_when_told(folder):
    def leave(*_):
        os._exit(STOPPED_EXIT_CODE)

    signal.signal(signal.SIGTERM, leave)
    open(os.path.join(folder, f"ready{os.getpid()}"), "w").close()
    time.sleep(LONG)


def does_not_listen(folder):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.path.join(folder, f"ready{os.getpid()}"), "w").close()
    time.sleep(LONG)


@pytest.fixture
def started(tmp_path):
    processes = {}

    def start(*works):
        context = multiprocessing.get_context("fork")
        for rank, work in enumerate(works):
            processes[rank] = context.Process(target=work, args=(str(tmp_path),))
            processes[rank].start()
        return processes

    yield start
    for process in processes.values():
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (waits, is_killed, r"^rank 1 \(process \d+\) was killed by SIGKILL \(out of memory\?\); its 1 neighbour was"),
        (waits, leaves_without_a_word, r"^rank 1 .* ended without a word, with exit code 3; its 1"),
        (waits, raises, r"^rank 1 .* failed: ImageReadError: cannot decode the image a/b.jpg; replace it; its 1"),
        (notices_later, raises, r"^rank 1 .* failed: ImageReadError"),
        (notices_later, is_killed, r"^rank 1 .* was killed by SIGKILL"),
        (is_told, raises_later, r"^rank 1 .* failed: ImageReadError: cannot decode the image a/b.jpg; replace it;"),
        (aborts, raises, r"^rank 1 .* failed: ImageReadError"),
        (
            waits,
            hears_of_a_worker,
            r"^rank 1 .* cannot decode the image a/b.jpg \(in DataLoader worker process 1\); its",
        ),
        (waits, raises_and_does_not_get_away, r"^rank 1 .* failed: ImageReadError"),
        (finishes, raises, r"^rank 1 .* failed: ImageReadError"),
    ],
)
def test_what_came_first_is_named_in_one_line_and_nobody_is_left(started, tmp_path, first, second, message):
    processes = started(first, second)
    with pytest.raises(RankFailed, match=message) as found:
        supervise(processes, str(tmp_path))
    assert "\n" not in str(found.value)
    assert not any(process.is_alive() for process in processes.values())


def test_all_is_well_when_all_finish(started, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    supervise(started(finishes, finishes), str(tmp_path))
    assert signal.getsignal(signal.SIGTERM) is before


def send(tmp_path, ranks, times, apart=0.0):
    """Send SIGTERM to this process as soon as it and the ranks listen."""
    before = signal.getsignal(signal.SIGTERM)

    def work():
        while len(list(tmp_path.glob("ready*"))) < ranks or signal.getsignal(signal.SIGTERM) == before:
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(apart)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_signal_reaches_every_rank_and_the_run_says_that_it_can_go_on(started, tmp_path):
    processes = started(stops_when_told, stops_when_told)
    send(tmp_path, 2, 1)
    with pytest.raises(RunStopped, match="stopped by SIGTERM; go on with --resume") as found:
        supervise(processes, str(tmp_path))
    assert found.value.code == STOPPED_EXIT_CODE


def test_a_signal_before_there_is_anything_to_save_just_ends_the_run(started, tmp_path):
    processes = started(waits, waits)
    send(tmp_path, 0, 1)
    with pytest.raises(SystemExit) as found:
        supervise(processes, str(tmp_path))
    assert found.value.code == 128 + signal.SIGTERM


def test_a_second_signal_ends_what_does_not_listen(started, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[supervise.__module__], "PATIENCE", 0.3)
    processes = started(does_not_listen, does_not_listen)
    sending = send(tmp_path, 2, 2, apart=0.5)
    with pytest.raises(SystemExit) as found:
        supervise(processes, str(tmp_path))
    assert found.value.code == 128 + signal.SIGTERM
    assert not any(process.is_alive() for process in processes.values())
    sending.join()
