from __future__ import annotations

import random
import statistics

import pytest
import torch

from fastreid.utils.history_buffer import _MAX_PENDING, HistoryBuffer


@pytest.mark.parametrize("window", [1, 2, 3, 20, 1000])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_smoothing_equals_its_definition(window, as_tensor):
    values = [random.uniform(-5, 5) for _ in range(57)]
    history = HistoryBuffer()
    for value in values:
        history.update(torch.tensor(value, dtype=torch.float64) if as_tensor else value)
    assert history.latest() == values[-1]
    assert history.median(window) == pytest.approx(statistics.median(values[-window:]), rel=1e-12)
    assert history.avg(window) == pytest.approx(statistics.fmean(values[-window:]), rel=1e-12)
    assert history.global_avg() == pytest.approx(statistics.fmean(values), rel=1e-12)


def test_max_length_bounds_what_is_kept_but_not_the_global_mean():
    history = HistoryBuffer(max_length=3)
    for value in range(10):
        history.update(value, iteration=100 + value)
    assert history.values() == [(7.0, 107), (8.0, 108), (9.0, 109)]
    assert history.global_avg() == 4.5
    assert len(history) == 10


def test_numbers_and_tensors_keep_their_order():
    history = HistoryBuffer()
    history.update(1)
    history.update(torch.tensor([2.0]))
    history.update(torch.tensor(3, dtype=torch.int64))
    history.update(torch.tensor(4.0, dtype=torch.bfloat16))
    assert history.values() == [(1.0, 0), (2.0, 1), (3.0, 2), (4.0, 3)]


def test_a_tensor_is_copied_and_carries_no_graph():
    loss = torch.tensor(1.0, requires_grad=True) * 2
    history = HistoryBuffer()
    history.update(loss)
    with torch.no_grad():
        loss.mul_(10)
    assert history.latest() == 2.0


def test_waiting_tensors_are_bounded():
    history = HistoryBuffer()
    for value in range(3 * _MAX_PENDING):
        history.update(torch.tensor(float(value)))
        assert len(history._pending) < _MAX_PENDING
    assert [value for value, _ in history.values()] == list(range(3 * _MAX_PENDING))


def test_recording_a_tensor_reads_nothing_from_its_device():
    # a meta tensor has no values: whatever tries to read one raises
    history = HistoryBuffer()
    history.update(torch.zeros((), device="meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        history.latest()


def test_errors():
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        HistoryBuffer(0)
    history = HistoryBuffer()
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        history.update(torch.zeros(2))
    for read in (history.latest, history.global_avg):
        with pytest.raises(ValueError, match="history is empty"):
            read()
    history.update(1.0)
    with pytest.raises(ValueError, match="window_size must be at least 1, got 0"):
        history.median(0)
