from __future__ import annotations

import pytest
import torch

from fastreid.engine import TrainerBase, hooks
from fastreid.engine.hooks import throughput


class Clock:
    """Time that passes only when it is told to."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Run(TrainerBase):
    """Six iterations an epoch; the first of each takes 3 s, the others 1 s, half a second of it for data."""

    def __init__(self, clock, *, data_time=True):
        super().__init__()
        self.clock = clock
        self.data_time = data_time

    def run_step(self):
        self.clock.now += 3 if self.iter % 6 == 0 else 1
        if self.data_time:
            self.storage.put_scalar("data_time", 0.5)


def run(monkeypatch, period, *, epochs=2, **options):
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    found = []

    def look(trainer):
        found.append({n: v for n, (v, i) in trainer.storage.latest().items() if i == trainer.iter})
        clock.now += 1000  # a hook that takes long, such as an evaluation: no time of training

    trainer = Run(clock, **options)
    trainer.register_hooks([hooks.Throughput(8, period), hooks.CallbackHook(after_step=look)])
    trainer.train(0, epochs, 6)
    return found


def test_speed_and_waiting_are_of_the_iterations_since_the_last_record(monkeypatch):
    found = run(monkeypatch, 4)
    speeds = {i: row["images_per_second"] for i, row in enumerate(found) if "images_per_second" in row}
    # due: every 4 iterations, and at the end of an epoch of 6
    expected = {3: 4 * 8 / 6, 5: 2 * 8 / 2, 7: 2 * 8 / 4, 11: 4 * 8 / 4}
    assert speeds == pytest.approx(expected)
    waits = {i: row["data_wait"] for i, row in enumerate(found) if "data_wait" in row}
    assert waits == pytest.approx({3: 2 / 6, 5: 1 / 2, 7: 1 / 4, 11: 2 / 4})
    assert all(row["rss_mib"] > 10 for row in found if "images_per_second" in row)
    assert not any("max_mem_mib" in row for row in found)  # there is no CUDA memory on a CPU


def test_without_a_measured_wait_there_is_none(monkeypatch):
    found = run(monkeypatch, 2, epochs=1, data_time=False)
    assert [row["images_per_second"] for row in found[1::2]] == pytest.approx([4.0, 8.0, 8.0])
    assert not any("data_wait" in row for row in found)


def test_the_device_is_waited_for_only_when_a_record_is_due(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(trainer.iter))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    trainer = Run(Clock())
    peaks = hooks.CallbackHook(after_train=lambda t: waited.append(t.storage.latest()["max_mem_mib"]))
    trainer.register_hooks([hooks.Throughput(8, 4, "cuda"), peaks])
    trainer.train(0, 2, 6)
    assert waited == [3, 5, 7, 11, (3.0, 11)]


def test_a_period_is_at_least_one():
    with pytest.raises(ValueError, match="LOG_PERIOD must be at least 1 iteration, got 0"):
        hooks.Throughput(8, 0)
