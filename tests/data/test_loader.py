from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest
import torch
from torch.utils.data import Dataset

from fastreid.data.loader import NamingLoader, WorkerDied, _NamingIterator


class Deadly(Dataset):
    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            self.how()
        return torch.tensor(index)


def leave():
    os._exit(3)


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("how", "message"),
    [(leave, r"\(pid \d+\) exited unexpectedly with "), (be_killed, r"\(pid \d+\) .*(SIGKILL|Killed)")],
)
def test_a_dead_worker_is_named(how, message):
    # torch's own words where its handler of SIGCHLD comes first, which may be anywhere in the main thread
    with pytest.raises(RuntimeError, match=message):
        list(NamingLoader(Deadly(how), num_workers=2))


class Broken:
    """Stands for torch's iterator when a worker dies while it hands a batch over; it is dead a moment later."""

    def __init__(self, process):
        self._workers = [process]

    def __next__(self):
        raise ConnectionResetError("Connection reset by peer")


def test_a_broken_connection_to_a_dead_worker_names_it_too():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    process.start()
    threading.Timer(0.2, process.kill).start()
    with pytest.raises(WorkerDied, match=rf"DataLoader worker 0 \(pid {process.pid}\) was killed by SIGKILL; .*lower"):
        next(_NamingIterator(Broken(process)))


def test_other_errors_and_the_batches_are_those_of_torch():
    with pytest.raises(ValueError, match="no such thing"):
        list(NamingLoader(Deadly(fail), num_workers=1))
    loader = NamingLoader(Deadly(int), batch_size=4, num_workers=0)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]] == [b.tolist() for b in loader]
    assert len(iter(loader)) == len(loader) == 2
