"""Several processes on one study, and how they are stopped."""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from fastreid.utils.logger import setup_logger

from .plan import Plan
from .study import Run, work

__all__ = ["run_processes", "stop_on_signals"]

logger = logging.getLogger(__name__)

_ASK_AFTER = 3.0  # seconds


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM inside the block into ``KeyboardInterrupt``, and do not heed the next ones.

    What has to be done after the first, putting the trial down to be repeated, takes a moment.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        for other in signals:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(number, stop) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)


def run_processes(
    count: int, make_plan: Callable[[argparse.Namespace], Plan], args: argparse.Namespace, run: Run
) -> int:
    """Work on a study in several processes of this machine, and wait for them.

    Each has its own GPU in turn where there are any, and writes what its trainings say into ``worker_N.txt``.

    Args:
        count: of processes.
        make_plan: makes the plan of ``args``; defined at the top of a module, as is ``run``.
        args: the command line.
        run: trains.

    Returns:
        How many of them ended with an error.

    Raises:
        KeyboardInterrupt: if this process is asked to stop, after the others have stopped.
    """
    context = multiprocessing.get_context("spawn")
    gpus = _visible_gpus()
    processes = [
        context.Process(target=_work, args=(index, gpus[index % len(gpus)] if gpus else None, make_plan, args, run))
        for index in range(count)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        _stop([process for process in processes if process.pid is not None])
        raise
    return sum(process.exitcode != 0 for process in processes)


def _stop(processes: list[Any]) -> None:
    """Wait until all have stopped. Ctrl-C on a terminal asks them too; those that were not asked are, soon after."""
    asked_at = time.monotonic() + _ASK_AFTER
    for process in processes:
        process.join(max(0.0, asked_at - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join()


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(index) for index in range(torch.cuda.device_count())]


def _work(
    index: int, gpu: str | None, make_plan: Callable[[argparse.Namespace], Plan], args: argparse.Namespace, run: Run
) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    terminal = sys.stdout
    try:
        with stop_on_signals():
            plan = make_plan(args)
            plan.folder.mkdir(parents=True, exist_ok=True)
            with open(plan.folder / f"worker_{index}.txt", "a", encoding="utf-8", buffering=1) as file:
                sys.stdout = sys.stderr = file
                log = setup_logger(str(plan.folder / "tune.log"), name="fasttune")
                show = logging.StreamHandler(terminal)
                show.setFormatter(logging.Formatter(f"[%(asctime)s worker {index}]: %(message)s", "%m/%d %H:%M:%S"))
                log.addHandler(show)
                try:
                    work(plan, run)
                except KeyboardInterrupt:
                    raise
                except Exception:
                    logger.exception("Worker %d stops", index)
                    sys.exit(1)
                finally:
                    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    except KeyboardInterrupt:
        sys.exit(130)
