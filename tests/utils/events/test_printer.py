from __future__ import annotations

import logging
import re
import statistics

import numpy as np
import pytest
import torch

from fastreid.utils.events import CommonMetricPrinter, EventStorage

# -- the training line


def test_the_training_line(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 7040 * 2**20)
    with EventStorage(20800) as storage:
        storage.epoch = 102
        for step in range(6):
            storage.put_scalar("data_time", 0.0008)
            storage.put_scalars(loss_cls=6.729, loss_triplet=33.88, total_loss=torch.tensor(40.63))
            storage.put_scalar("cls_accuracy", 0.5)
            storage.put_scalar("time", 0.0435)
            storage.put_scalar("lr", 3.5e-6, smoothing_hint=False)
            if step < 5:
                storage.step()
        printer = CommonMetricPrinter(20806 + 3380)
        printer.write()
        printer.write()  # same iteration: nothing more to say
        assert storage.latest()["eta_seconds"][0] == pytest.approx(3380 * 0.0435)
    (record,) = caplog.records
    assert record.name == "fastreid.utils.events"
    assert record.getMessage() == (
        " eta: 0:02:27  epoch/iter: 102/20805  total_loss: 40.63  loss_cls: 6.729  loss_triplet: 33.88"
        "  time: 0.0435  data_time: 0.0008  lr: 3.50e-06  max_mem: 7040M"
    )


def test_the_training_line_before_anything_was_timed(caplog):
    caplog.set_level(logging.INFO)
    with EventStorage() as storage:
        storage.put_scalar("total_loss", 2.0)
        CommonMetricPrinter(10).write()
        assert "eta_seconds" not in storage.latest()
    assert caplog.messages[0].startswith(" eta: N/A  epoch/iter: 0/0  total_loss: 2")


def test_windows_of_the_training_line(caplog):
    caplog.set_level(logging.INFO)
    generator = np.random.default_rng(1)
    losses, times, waits = generator.random(300), generator.random(300), generator.random(300)
    with EventStorage() as storage:
        for loss, time, wait in zip(losses, times, waits):
            storage.put_scalars(total_loss=loss, time=time, data_time=wait)
            storage.step()
        CommonMetricPrinter(300).write()
    found = dict(re.findall(r"(\w+): (\S+)", caplog.messages[0]))
    assert found["total_loss"] == f"{statistics.median(losses[-200:]):.4g}"
    assert found["time"] == f"{times.mean():.4f}"
    assert found["data_time"] == f"{waits[-20:].mean():.4f}"
