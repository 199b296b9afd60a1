"""Watch over the processes of a run on one machine: none is left waiting for one that is gone."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from ..utils import comm
from ..utils.one_line import one_line
from .stop_signals import PATIENCE, give_back, take_over
from .stopped import STOPPED_EXIT_CODE, RunStopped

__all__ = ["RankFailed", "reporting", "supervise"]

logger = logging.getLogger(__name__)

GRACE = 1.0  # seconds in which the others may say what they died of, so that the first cause is found
POLL = 0.2  # seconds between two looks at whether a signal came


class RankFailed(RuntimeError):
    """One process of a run failed or died; the message says which, and of what, in one line."""


@contextmanager
def reporting(rank: int, folder: str) -> Iterator[None]:
    """Write down the error that ends this process, for :func:`supervise`, and end with exit code 1.

    Args:
        rank: of this process in the run.
        folder: gets ``<rank>.json``.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        told = isinstance(error, comm.NeighbourFailed)
        report = {"time": time.time(), "told": told, "error": one_line(error), "traceback": traceback.format_exc()}
        with open(os.path.join(folder, f"{rank}.json"), "w", encoding="utf-8") as file:
            json.dump(report, file)
        sys.exit(1)


def supervise(processes: Mapping[int, BaseProcess], folder: str) -> None:
    """Wait until all processes have ended; when one fails, end the others.

    SIGTERM and SIGINT go on to the processes, which save and leave; when one comes again after two seconds, they are
    killed. The handlers are put back at the end, after a signal not before two seconds are over; outside the main
    thread there are none.

    Args:
        processes: those of this machine, by rank; started.
        folder: where :func:`reporting` writes.

    Raises:
        RankFailed: if one ended by itself in any other way than by finishing or by stopping. The one that is named
            is the first cause: one that died without a word before one that raised, and the earliest of these; behind
            them one that was told of a neighbour's error, and one that aborted itself, as NCCL's watchdog does when a
            neighbour is gone.
        RunStopped: if all finished or stopped, and at least one stopped.
        SystemExit: with 128 + the signal's number, if a signal ended them before they could save.
    """
    with _Forwarding(processes) as forwarding:
        running = dict(processes)
        deadline = float("inf")
        while running and time.monotonic() < deadline and not forwarding.again:
            wait([process.sentinel for process in running.values()], timeout=POLL)
            ended = [running.pop(rank) for rank, process in list(running.items()) if not process.is_alive()]
            # a report counts by itself: with its neighbours waiting, a process may not get to its own end
            reported = any(_report(folder, rank) is not None for rank in processes)
            if reported or any(process.exitcode not in (0, STOPPED_EXIT_CODE) for process in ended):
                deadline = min(deadline, time.monotonic() + GRACE)
        for process in running.values():
            process.kill()  # what waits for a message in C would not answer to less
        for process in processes.values():
            process.join()
        if forwarding.again:
            raise SystemExit(128 + forwarding.received)
        codes = {rank: process.exitcode for rank, process in processes.items() if rank not in running}
        _tell(processes, codes, folder, forwarding.received)


def _tell(processes: Mapping[int, BaseProcess], codes: Mapping[int, int | None], folder: str, received: int) -> None:
    """Raise what the ends of the processes mean; ``codes``: the exit codes of those that were not killed from here."""
    reports = {rank: report for rank in processes if (report := _report(folder, rank)) is not None}
    bad = sorted({*reports, *(rank for rank, code in codes.items() if code not in (0, STOPPED_EXIT_CODE))})
    if bad and received and not reports and all(codes[rank] in (-received, 128 + received) for rank in bad):
        logger.warning("%s came before there was anything to save", signal.Signals(received).name)
        raise SystemExit(128 + received)
    if bad:
        rank = min(bad, key=lambda rank: _precedence(codes.get(rank), reports.get(rank)))
        if rank in reports:
            logger.error("Rank %d failed:\n%s", rank, reports[rank]["traceback"].rstrip())
        how = f"failed: {reports[rank]['error']}" if rank in reports else _how_it_died(codes[rank])
        others = len(processes) - 1
        rest = f"; its {others} neighbour{'s were' if others > 1 else ' was'} ended with it" if others else ""
        raise RankFailed(f"rank {rank} (process {processes[rank].pid}) {how}{rest}")
    if STOPPED_EXIT_CODE in codes.values():
        raise RunStopped(signal.Signals(received or signal.SIGTERM).name)


def _report(folder: str, rank: int) -> dict[str, Any] | None:
    try:
        with open(os.path.join(folder, f"{rank}.json"), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):  # it died without a word, or in the middle of one
        return None


def _precedence(code: int | None, report: dict[str, Any] | None) -> tuple[int, float]:
    """Return a key that sorts the first cause of several failures to the front."""
    if report is not None:
        return (2 if report["told"] else 1), report["time"]
    return (3 if code == -signal.SIGABRT else 0), 0.0


def _how_it_died(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"ended without a word, with exit code {code}"


class _Forwarding:
    """Hand SIGTERM and SIGINT on to the processes while the block runs.

    Attributes:
        received: the first signal, 0: none.
        again: whether one came after ``PATIENCE`` seconds more.
    """

    def __init__(self, processes: Mapping[int, BaseProcess]) -> None:
        self._processes = processes
        self._former: dict[signal.Signals, Any] = {}
        self._pid = os.getpid()
        self._received_at = 0.0
        self.received = 0
        self.again = False

    def __enter__(self) -> _Forwarding:
        if threading.current_thread() is threading.main_thread():
            self._former = take_over(self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        give_back(self._former, not_before=self._received_at + PATIENCE if self.received and not self.again else None)

    def _on_signal(self, number: int, frame: Any) -> None:
        if os.getpid() != self._pid:
            return
        now = time.monotonic()
        if not self.received:
            self.received, self._received_at = number, now
            for process in self._processes.values():
                if process.is_alive():
                    os.kill(process.pid, number)
        elif now - self._received_at >= PATIENCE:
            self.again = True
