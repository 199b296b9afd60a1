"""The prefetcher gives the loader's batches, its errors, and an end; whether a thread brings them or not."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from fastreid.data import CommDataset, build_reid_train_loader, prefetch
from fastreid.data.data_utils import ImageReadError
from fastreid.data.prefetch import DevicePrefetcher, move_batch
from fastreid.data.samplers import TrainingSampler
from fastreid.data.transforms import ToTensor

from .conftest import write_image

_CPU = torch.device("cpu")


@pytest.fixture
def items(tmp_path):
    return [(write_image(tmp_path / f"{n}.png", seed=n), f"set_{n // 3}", f"set_{n % 2}") for n in range(12)]


def loader_of(items, *, workers=1, transform=None, sampler=None):
    dataset = CommDataset(items, transform or ToTensor())
    sampler = sampler or TrainingSampler(len(items), seed=5)
    return build_reid_train_loader(dataset, sampler=sampler, total_batch_size=4, num_workers=workers)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


class Breaks(Dataset):
    """An item that does to its process what a test wants; the others are numbers."""

    def __init__(self, bad, act):
        self.bad, self.act = bad, act

    def __len__(self):
        return 64

    def __getitem__(self, index):
        if index.position == self.bad:
            self.act()
        return {"targets": int(index)}


def breaking_loader(bad, act):
    return build_reid_train_loader(
        Breaks(bad, act), sampler=TrainingSampler(64, seed=1), total_batch_size=4, num_workers=1
    )


def raise_value_error():
    raise ValueError("a broken transform")


def die():
    os._exit(3)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_those_of_the_loader_in_their_order(items, workers):
    wanted = list(itertools.islice(loader_of(items, workers=0), 7))
    batches = iter(DevicePrefetcher(loader_of(items, workers=workers), _CPU))
    for want in wanted:
        batch = next(batches)
        assert batch["img_paths"] == want["img_paths"]
        assert all(torch.equal(batch[key], want[key]) for key in ("images", "targets", "camids"))
    assert len(threads()) == (workers > 0)
    del batches
    gc.collect()
    assert not threads()


def test_tensors_are_sent_wherever_they_are_and_the_batch_stays():
    batch = {"a": torch.ones(2), "b": [torch.ones(1), "x"], "c": {"d": torch.ones(3)}, "e": ["p", "q"], "f": 1}
    moved = move_batch(batch, torch.device("meta"))
    assert {moved["a"].device.type, moved["b"][0].device.type, moved["c"]["d"].device.type} == {"meta"}
    assert (moved["b"][1], moved["e"], moved["f"]) == ("x", ["p", "q"], 1)
    assert batch["a"].device.type == "cpu"


def test_any_iterable_is_a_loader():
    batches = iter(DevicePrefetcher(({"n": torch.tensor(n)} for n in range(2)), _CPU))
    assert [int(batch["n"]) for batch in batches] == [0, 1]


def test_at_least_one_batch_is_ahead():
    with pytest.raises(ValueError, match="ahead must be at least 1 batch, got 0"):
        DevicePrefetcher([], _CPU, ahead=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_at_its_batch_and_ends_the_iteration(items, workers):
    position = TrainingSampler(12, seed=5).stretch(0, 12).tolist().index(7)
    with open(items[7][0], "wb") as file:
        file.write(b"no image")
    batches = iter(DevicePrefetcher(loader_of(items, workers=workers), _CPU))
    for _ in range(position // 4):
        next(batches)
    with pytest.raises(ImageReadError, match=r"7\.png"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    assert not threads()


@pytest.mark.parametrize("bad", [0, 9])
def test_an_error_in_a_worker_surfaces_at_its_batch(bad):
    batches = iter(DevicePrefetcher(breaking_loader(bad, raise_value_error), _CPU))
    assert len(list(itertools.islice(batches, bad // 4))) == bad // 4
    with pytest.raises(ValueError, match="a broken transform"):
        next(batches)


def test_a_worker_that_dies_is_an_error():
    batches = iter(DevicePrefetcher(breaking_loader(9, die), _CPU))
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*exited unexpectedly"):
        list(itertools.islice(batches, 3))


def test_an_error_on_the_way_surfaces_at_its_batch(items):
    loader = loader_of(items)
    loader.finish = raise_on_finish
    with pytest.raises(MemoryError, match="the device is full"):
        next(iter(DevicePrefetcher(loader, _CPU)))


def raise_on_finish(batch):
    raise MemoryError("the device is full")


def test_a_thread_that_is_gone_is_an_error_and_no_hang(items, monkeypatch):
    monkeypatch.setattr("fastreid.data.prefetch._bring", lambda *args: None)
    with pytest.raises(RuntimeError, match="gone without a word"):
        next(iter(DevicePrefetcher(loader_of(items), _CPU)))


def test_no_more_than_asked_for_is_ahead(items):
    loader, done = loader_of(items), []
    loader.finish = lambda batch: done.append(0) or batch
    batches = iter(DevicePrefetcher(loader, _CPU, ahead=2))
    for taken in range(1, 4):
        next(batches)
        deadline = time.monotonic() + 30
        while len(done) < taken + 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(done) == taken + 2


def test_iterating_anew_ends_the_iteration_before(items):
    prefetcher = DevicePrefetcher(loader_of(items), _CPU)
    first = iter(prefetcher)
    wanted = next(first)
    again = iter(prefetcher)
    assert len(threads()) == 1
    assert torch.equal(next(again)["images"], wanted["images"])
    with pytest.raises(StopIteration):
        next(first)


class FromTheGlobalStream(torch.utils.data.Sampler):
    """A sampler of a user's, which the thread must leave alone."""

    def __iter__(self):
        while True:
            yield int(torch.randint(12, ()))


def test_what_draws_from_the_global_streams_is_not_run_ahead_of_the_model(items):
    def draws(prefetch):
        torch.manual_seed(0)
        loader = loader_of(items, sampler=FromTheGlobalStream())
        batches = iter(DevicePrefetcher(loader, _CPU) if prefetch else loader)
        return [(next(batches)["targets"].tolist(), torch.rand(()).item()) for _ in range(5)]

    assert draws(True) == draws(False)
    assert not threads()


def test_the_global_streams_are_left_alone(items):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    list(itertools.islice(DevicePrefetcher(loader_of(items), _CPU), 4))
    assert states() == before


@pytest.mark.parametrize("end", ["", "raise KeyError('end')"])
def test_a_program_ends_while_batches_are_on_their_way(tmp_path, items, end):
    code = f"""
import torch
from fastreid.data import CommDataset, build_reid_train_loader, prefetch
from fastreid.data.prefetch import DevicePrefetcher
from fastreid.data.transforms import ToTensor
loader = build_reid_train_loader(CommDataset({items!r}, ToTensor()), total_batch_size=4, num_workers=1)
batches = iter(DevicePrefetcher(loader, "cpu"))
next(batches)
print("one batch", flush=True)
{end}
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout == "one batch\n"
    lines = run.stderr.strip().splitlines()
    assert (run.returncode, lines[-1:]) == ((1, ["KeyError: 'end'"]) if "raise" in end else (0, []))


class FakeStream:
    """What the prefetcher asks of a CUDA stream, noted down."""

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def record_event(self):
        self.notes.append(f"{self.name} records")
        return f"event {self.notes.count(f'{self.name} records')}"

    def wait_event(self, event):
        self.notes.append(f"{self.name} waits for {event}")


def test_on_cuda_the_work_waits_for_the_side_stream_and_not_the_cpu(items, monkeypatch):
    notes, device = [], torch.device("cuda", 0)
    main = FakeStream("main", notes)

    @contextlib.contextmanager
    def as_current(stream):
        notes.append(f"on {stream.name}")
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda where: FakeStream("side", notes))
    monkeypatch.setattr(torch.cuda, "stream", as_current)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda where: main)
    monkeypatch.setattr(prefetch, "move_batch", lambda batch, where: notes.append(f"sent to {where}") or batch)
    monkeypatch.setattr(prefetch, "_record", lambda batch, stream: notes.append(f"kept for {stream.name}"))
    batches = iter(DevicePrefetcher(loader_of(items), device))
    next(batches)
    sending = ["on side", "sent to cuda:0", "side records"]
    assert notes[:3] == sending
    assert [note for note in notes if "main" in note] == ["main waits for event 1", "kept for main"]


def test_every_tensor_on_cuda_is_kept_for_the_stream(monkeypatch):
    class OnCuda:
        is_cuda = True

        def __init__(self):
            self.streams = []

        def record_stream(self, stream):
            self.streams.append(stream)

    monkeypatch.setattr(prefetch, "Tensor", OnCuda)
    tensors = [OnCuda() for _ in range(3)]
    prefetch._record({"a": tensors[0], "b": [tensors[1], "x"], "c": {"d": tensors[2]}, "e": 1}, "main")
    assert [tensor.streams for tensor in tensors] == [["main"]] * 3
