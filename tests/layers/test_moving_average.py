from __future__ import annotations

import copy

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from fastreid.layers.moving_average import MovingAverage


def small():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()


def move(source):
    """Change every tensor, as a training step does."""
    with torch.no_grad():
        for value in source.state_dict().values():
            value += torch.randint(1, 9, value.shape)


def test_it_follows_parameters_and_buffers_by_the_formula():
    source, average = small(), MovingAverage(small(), 0.75)
    move(source)
    average.update(source)
    expected = copy.deepcopy(source.state_dict())  # the first update copies
    for _ in range(3):
        torch.testing.assert_close(average.model.state_dict(), expected)
        move(source)
        average.update(source)
        for key, value in source.state_dict().items():
            expected[key] = 0.75 * expected[key] + 0.25 * value if value.is_floating_point() else value.clone()
    torch.testing.assert_close(average.model.state_dict(), expected)
    assert not torch.equal(expected["1.running_var"], source.state_dict()["1.running_var"])


def test_its_state_goes_on_where_it_was():
    source, average, resumed = small(), MovingAverage(small(), 0.5), MovingAverage(small(), 0.5)
    assert average.state_dict() == {}
    average.update(source)
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    move(source)
    for one in (average, resumed):
        one.update(source)
    torch.testing.assert_close(resumed.state_dict(), average.state_dict(), rtol=0, atol=0)
    resumed.load_state_dict({})  # of a run that had not begun
    resumed.update(source)
    torch.testing.assert_close(resumed.state_dict(), source.state_dict())


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_out_of_range_is_an_error(momentum):
    with pytest.raises(ValueError, match=r"KD\.EMA\.MOMENTUM\) must be in \[0, 1\), got"):
        MovingAverage(small(), momentum)


def _worker(rank, init_file, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    source, average = small(), MovingAverage(small(), 0.5)
    for step in range(2):
        source[1].running_mean += rank + step
        source[1].num_batches_tracked += rank + 1
        average.update(source)
    results[rank] = average.state_dict()
    torch.distributed.destroy_process_group()


def test_all_ranks_follow_the_buffers_of_the_first(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_worker, args=(tmp_path / "init", results), nprocs=2)
        first, second = results[0], results[1]
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    assert first["1.running_mean"].tolist() == [0.5, 0.5]
    assert int(first["1.num_batches_tracked"]) == 2
