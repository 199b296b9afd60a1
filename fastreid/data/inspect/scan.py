"""Read all images of a data set, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from ...utils.progress import Progress
from .facts import FACTS, read_many

__all__ = ["usable_cores", "scan_images"]

_AT_ONCE = 64  # images that a process takes at a time
_FEW = 1000  # images that are read sooner than processes have started


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scan_images(paths: Sequence[str], *, workers: int | None = None) -> tuple[np.ndarray, dict[int, str]]:
    """Read images, and keep about 100 bytes of each.

    Args:
        paths: N files.
        workers: processes that read; 0: this one alone; ``None``: one on each core, if there are 1000 images or more.

    Returns:
        ``(N,)`` of :data:`~.facts.FACTS`; and, by place in it, what there is to say about an image that cannot be
        read, or about whose content its decoder complained.

    Raises:
        ValueError: if ``workers`` is negative.
        RuntimeError: if a process dies.
    """
    if workers is None:
        workers = 0 if len(paths) < _FEW else usable_cores()
    if workers < 0:
        raise ValueError(f"workers must be >= 0 processes (0: none of their own), got {workers}")
    facts = np.zeros(len(paths), dtype=FACTS)
    texts: dict[int, str] = {}
    chunks = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    start = 0
    with Progress(total=len(paths), desc="Reading images", unit="image") as bar:
        for rows, said in _read(chunks, min(workers, len(chunks))):
            facts[start : start + len(rows)] = rows
            texts.update({start + place: text for place, text in said.items()})
            start += len(rows)
            bar.update(len(rows))
    return facts, texts


def _read(chunks: Sequence[Sequence[str]], workers: int) -> Iterator[tuple[np.ndarray, dict[int, str]]]:
    if not workers:
        yield from map(read_many, chunks)
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        done = 0
        try:
            for read in pool.map(read_many, chunks):
                yield read
                done += 1
        except BrokenProcessPool as error:
            raise RuntimeError(
                f"a process that reads images has died at {chunks[done][0]} or one of the next "
                f"{workers * _AT_ONCE} images, perhaps for want of memory; look there, or take fewer workers"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    """Leave interrupts to the parent, which ends its workers; end with it, also if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
