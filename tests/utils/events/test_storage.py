from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch

from fastreid.utils.events import EventStorage, EventWriter, get_event_storage, has_event_storage
from fastreid.utils.events import storage as storage_module


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
        storage_module._open_storages.clear()


def test_the_iteration_of_a_scalar_is_known_without_its_value():
    storage = EventStorage(start_iter=3)
    storage.put_scalar("loss", 1.0)
    storage.step()
    assert storage.written_at("loss") == 3
    assert storage.written_at("mAP") is None
