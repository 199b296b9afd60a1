from __future__ import annotations

import os
import signal

import pytest
import torch
from torch.utils.data import Dataset

from fastreid.data.loader import NamingLoader, WorkerDied


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
    ("how", "message"), [(leave, r"worker 1 \(pid \d+\) exited unexpectedly with code 3"), (be_killed, "SIGKILL")]
)
def test_a_dead_worker_is_named(how, message):
    with pytest.raises(WorkerDied, match=message):
        list(NamingLoader(Deadly(how), num_workers=2))


def test_other_errors_and_the_batches_are_those_of_torch():
    with pytest.raises(ValueError, match="no such thing"):
        list(NamingLoader(Deadly(fail), num_workers=1))
    loader = NamingLoader(Deadly(int), batch_size=4, num_workers=0)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7]] == [b.tolist() for b in loader]
    assert len(iter(loader)) == len(loader) == 2
