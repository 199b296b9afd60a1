from __future__ import annotations

import builtins
import json
import logging
import math
import re
import statistics
import sys

import numpy as np
import pytest
import torch

from fastreid.utils import events
from fastreid.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
    has_event_storage,
)


def _lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_innermost_storage_is_the_current_one():
    assert not has_event_storage()
    with pytest.raises(AssertionError, match="with EventStorage"):
        get_event_storage()
    with EventStorage() as outer:
        with EventStorage(5) as inner:
            assert get_event_storage() is inner
            assert inner.iter == inner.iteration == 5
        assert get_event_storage() is outer
        assert has_event_storage()
    assert not has_event_storage()


def test_an_error_inside_closes_the_storage():
    with pytest.raises(RuntimeError, match="training broke"), EventStorage():
        raise RuntimeError("training broke")
    assert not has_event_storage()


def test_latest_and_smoothed_values():
    values = [9.0, 1.0, 5.0, 2.0]
    with EventStorage(10) as storage:
        for value in values:
            storage.put_scalars(loss=value, total=2 * value)
            storage.put_scalar("lr", value / 10, smoothing_hint=False)
            storage.step()
    assert storage.latest() == {"loss": (2.0, 13), "total": (4.0, 13), "lr": (0.2, 13)}
    smoothed = storage.latest_with_smoothing_hint(3)
    assert smoothed["loss"] == (statistics.median(values[-3:]), 13)
    assert smoothed["lr"] == (0.2, 13)
    assert storage.history("loss").values() == list(zip(values, range(10, 14)))
    assert storage.smoothing_hints() == {"loss": True, "total": True, "lr": False}
    assert set(storage.histories()) == {"loss", "total", "lr"}


def test_an_unknown_scalar_and_another_hint_are_errors():
    storage = EventStorage()
    with pytest.raises(KeyError, match="nothing yet"):
        storage.history("loss")
    storage.put_scalar("loss", 1.0)
    with pytest.raises(KeyError, match="'los' was put; there is: loss"):
        storage.history("los")
    with pytest.raises(ValueError, match="'loss' was put with smoothing_hint=True before, now with False"):
        storage.put_scalar("loss", 1.0, smoothing_hint=False)


def test_name_scopes_nest_and_end():
    storage = EventStorage()
    with storage.name_scope("Market1501"):
        storage.put_scalar("mAP", 1)
        with storage.name_scope("deep/"):
            storage.put_scalar("mAP", 2)
    storage.put_scalar("mAP", 3)
    assert {name: value for name, (value, _) in storage.latest().items()} == {
        "Market1501/mAP": 1.0,
        "Market1501/deep/mAP": 2.0,
        "mAP": 3.0,
    }


def test_putting_a_tensor_waits_for_no_device():
    storage = EventStorage()
    # a meta tensor has no values: whatever tries to read one raises
    storage.put_scalar("loss", torch.zeros((), device="meta", requires_grad=True) * 2)
    with pytest.raises((RuntimeError, NotImplementedError)):
        storage.latest()


def test_histogram_equals_numpy():
    values = np.random.default_rng(0).normal(size=500).astype(np.float32)
    storage = EventStorage()
    storage.put_histogram("weights", torch.from_numpy(np.append(values, [np.nan, np.inf]).reshape(2, -1)), bins=7)
    (histogram,) = storage.histograms
    counts, edges = np.histogram(values, bins=7)
    assert histogram["bucket_counts"] == counts.tolist()
    assert histogram["bucket_limits"] == pytest.approx(edges[1:].tolist(), abs=1e-6)
    assert histogram["num"] == 500
    assert histogram["sum_squares"] == pytest.approx(float((values.astype(float) ** 2).sum()), rel=1e-5)
    storage.clear_histograms()
    assert storage.histograms == []
    with pytest.raises(ValueError, match="'weights' has no finite value among 1"):
        storage.put_histogram("weights", torch.tensor([math.nan]))


def test_a_writer_without_write_says_so():
    with pytest.raises(NotImplementedError, match="EventWriter must implement write"):
        EventWriter().write()


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


# -- metrics.json


def test_json_lines_are_sorted_and_smoothed(tmp_path):
    file = tmp_path / "deeper" / "metrics.json"
    losses = np.random.default_rng(0).random(50).tolist()
    with EventStorage() as storage:
        writer = JSONWriter(str(file))
        for step, loss in enumerate(losses):
            storage.put_scalar("total_loss", torch.tensor(loss, dtype=torch.float64))
            storage.put_scalar("lr", 0.1 * step, smoothing_hint=False)
            if step == 49:
                writer.write()
            storage.step()
        writer.close()
    text = file.read_text()
    assert _lines(file) == [{"iteration": 49, "lr": 0.1 * 49, "total_loss": statistics.median(losses[-20:])}]
    assert text.index("iteration") < text.index("lr") < text.index("total_loss")
    assert text.endswith("\n")


def test_no_evaluation_is_lost_and_nothing_is_written_twice(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        writer = JSONWriter(str(file))
        for epoch in range(2):
            storage.put_scalar("total_loss", 1.0 + epoch)
            writer.write()  # the periodic line of the epoch's last iteration ...
            storage.put_scalar("mAP", 50.0 + epoch, smoothing_hint=False)
            writer.write()  # ... then the evaluation, at the same iteration
            writer.write()
            if epoch == 0:
                storage.step()
        storage.put_scalar("mAP", 60.0, smoothing_hint=False)  # evaluated again at that iteration
        writer.write()
        writer.close()
    assert _lines(file) == [
        {"iteration": 0, "total_loss": 1.0},
        {"iteration": 0, "mAP": 50.0},
        {"iteration": 1, "total_loss": 1.5},
        {"iteration": 1, "mAP": 51.0},
        {"iteration": 1, "mAP": 60.0},
    ]


def test_scalars_of_different_iterations_get_lines_of_their_own_in_order(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        for name in ("b", "a", "c"):
            storage.put_scalar(name, storage.iter, smoothing_hint=False)
            storage.step()
        JSONWriter(str(file)).write()
    assert _lines(file) == [{"iteration": 0, "b": 0.0}, {"iteration": 1, "a": 1.0}, {"iteration": 2, "c": 2.0}]


def test_what_is_not_finite_becomes_null(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        storage.put_scalars(loss=math.nan, up=math.inf, down=-math.inf, fine=1.0)
        JSONWriter(str(file)).write()
    assert _lines(file) == [{"iteration": 0, "loss": None, "up": None, "down": None, "fine": 1.0}]
    assert "NaN" not in file.read_text()


def test_a_resumed_run_continues_the_file(tmp_path):
    file = tmp_path / "metrics.json"

    def run(first: int, last: int) -> None:
        with EventStorage(first) as storage:
            writer = JSONWriter(str(file))
            for _ in range(first, last):
                storage.put_scalar("total_loss", storage.iter)
                storage.put_scalar("mAP", storage.iter, smoothing_hint=False)
                writer.write()
                storage.step()
            writer.close()

    run(0, 3)
    run(3, 5)  # from the end of the last epoch: no line twice
    assert [line["iteration"] for line in _lines(file)] == [0, 1, 2, 3, 4]
    run(4, 6)  # from an older checkpoint: nothing is deleted, the later line counts
    assert [line["iteration"] for line in _lines(file)] == [0, 1, 2, 3, 4, 4, 5]


def test_a_torn_last_line_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text('{"iteration": 0, "loss": 1.0}\n{"iteration": 1, "lo')
    with EventStorage(1) as storage:
        storage.put_scalar("loss", 2.0)
        JSONWriter(str(file)).write()
    assert json.loads(file.read_text().splitlines()[-1]) == {"iteration": 1, "loss": 2.0}


# -- TensorBoard


def test_tensorboard_gets_scalars_images_and_histograms(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with EventStorage() as storage:
        writer = TensorboardXWriter(str(tmp_path))
        storage.put_scalar("total_loss", 1.5)
        storage.put_image("input", torch.zeros(3, 4, 4, dtype=torch.uint8))
        storage.put_histogram("weights", torch.arange(10.0), bins=5)
        writer.write()
        assert storage.images == [] and storage.histograms == []
        storage.put_scalar("mAP", 30.0, smoothing_hint=False)  # an evaluation at the same iteration
        writer.write()
        storage.step()
        storage.put_scalar("total_loss", 0.5)
        writer.write()
        writer.close()
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("total_loss")] == [(0, 1.5), (1, 1.0)]
    assert [(event.step, event.value) for event in found.Scalars("mAP")] == [(0, 30.0)]
    assert found.Tags()["images"] == ["input"]
    assert found.Histograms("weights")[0].histogram_value.num == 10
    assert any(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())


def test_a_missing_tensorboard_names_the_extra(monkeypatch, tmp_path):
    real_import = builtins.__import__

    def without_tensorboard(name, *args, **kwargs):
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_tensorboard)
    with pytest.raises(ImportError, match=r"pip install 'fastreid\[tensorboard\]'"):
        TensorboardXWriter(str(tmp_path))


def test_clear_images():
    storage = EventStorage()
    storage.put_image("x", torch.zeros(3, 2, 2))
    assert storage.images[0][0] == "x" and storage.images[0][2] == 0
    storage.clear_images()
    assert storage.images == []


def test_storages_close_in_reverse_order():
    outer, inner = EventStorage(), EventStorage()
    outer.__enter__()
    inner.__enter__()
    try:
        with pytest.raises(AssertionError, match="reverse order"):
            outer.__exit__(None, None, None)
    finally:
        events._open_storages.clear()
