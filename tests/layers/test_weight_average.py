from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fastreid.layers.weight_average import WeightAverage


class Net(nn.Module):
    """A weight with two names, statistics, and a buffer that is no statistic."""

    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)
        self.two.weight = self.one.weight
        self.register_buffer("queue", torch.randn(2, 3))
        self.register_parameter("absent", None)


def step(model):
    """Change every tensor, as a training step does."""
    with torch.no_grad():
        for value in {id(value): value for value in model.state_dict(keep_vars=True).values()}.values():
            value += torch.randint(1, 9, value.shape)


def averaged(model):
    counters = ("norm.num_batches_tracked", "queue")
    return {name: value.clone() for name, value in model.state_dict().items() if name not in counters}


@pytest.mark.parametrize("share", [lambda n: 1 / (n + 1), lambda n: 0.25])
def test_it_is_the_average_by_its_definition(share):
    torch.manual_seed(0)
    model = Net().double()
    average = WeightAverage(model)
    expected = None
    for count in range(4):
        step(model)
        now = averaged(model)
        part = 1.0 if expected is None else share(count)  # the first update copies
        expected = {
            name: value * part + (1 - part) * (0 if expected is None else expected[name]) for name, value in now.items()
        }
        average.update(share(count))
    state = average.state_dict()
    assert state["updates"] == average.updates == 4
    torch.testing.assert_close(state["average"], expected, rtol=1e-13, atol=1e-13)


def test_a_started_average_is_the_model_and_counts_no_update():
    model = Net()
    average = WeightAverage(model)
    assert not average.started
    average.start()
    assert (average.started, average.updates) == (True, 0)
    torch.testing.assert_close(average.state_dict()["average"], averaged(model), rtol=0, atol=0)


def test_the_model_has_it_in_the_block_and_itself_afterwards_also_after_an_error():
    model = Net()
    average = WeightAverage(model)
    average.update(1.0)
    then, queue = averaged(model), model.queue.clone()
    step(model)
    now, objects = copy.deepcopy(model.state_dict()), [id(parameter) for parameter in model.parameters()]
    with pytest.raises(ZeroDivisionError), average.applied() as lent:
        assert lent is model
        torch.testing.assert_close(averaged(model), then, rtol=0, atol=0)
        assert not torch.equal(model.queue, queue)  # no statistic: the model's own
        1 / 0  # noqa: B018
    torch.testing.assert_close(model.state_dict(), now, rtol=0, atol=0)
    assert [id(parameter) for parameter in model.parameters()] == objects
    with pytest.raises(RuntimeError, match="no average of the weights yet"), WeightAverage(model).applied():
        pass


def test_half_precision_is_averaged_in_float32():
    model = nn.Linear(1, 1, bias=False).half()
    average = WeightAverage(model)
    nn.init.ones_(model.weight)
    average.update(1.0)
    with torch.no_grad():
        model.weight.fill_(2)
    for _ in range(100):
        average.update(2**-14)  # half precision would round it away: 1 + 2 ** -11 is the next number
    (value,) = average.state_dict()["average"].values()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(2 - (1 - 2**-14) ** 100, abs=1e-6)
    with average.applied():
        assert model.weight.dtype == torch.float16
    assert model.weight.item() == 2


def test_it_follows_a_model_that_changes_its_precision_in_between():
    model = Net()
    average = WeightAverage(model)
    average.update(1.0)
    model.double()  # replaces the buffers
    step(model)
    average.update(1.0)
    expected = {name: value.float() for name, value in averaged(model).items()}
    torch.testing.assert_close(average.state_dict()["average"], expected, rtol=0, atol=0)


def test_its_state_goes_on_where_it_was():
    model = Net()
    average, resumed = WeightAverage(model), WeightAverage(model)
    average.load_state_dict(copy.deepcopy(average.state_dict()))
    assert not average.started
    for _ in range(2):
        average.update(0.5)
        step(model)
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    assert resumed.updates == 2
    for one in (average, resumed):
        one.update(0.3)
    torch.testing.assert_close(resumed.state_dict(), average.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("change", ["less", "more", "shape"])
def test_the_state_of_another_model_is_refused(change):
    average = WeightAverage(Net())
    average.start()
    state = copy.deepcopy(average.state_dict())
    if change == "less":
        del state["average"]["one.bias"]
    elif change == "more":
        state["average"]["three.bias"] = torch.zeros(3)
    else:
        state["average"]["one.bias"] = torch.zeros(4)
    before = copy.deepcopy(average.state_dict())
    with pytest.raises(ValueError, match=r"of another model: (one|three)\.bias differ \(1 in all\)"):
        average.load_state_dict(state)
    torch.testing.assert_close(average.state_dict(), before, rtol=0, atol=0)


def test_statistics_are_read_alone():
    model = Net()
    average = WeightAverage(model)
    average.start()
    before = averaged(model)
    step(model)
    average.read_statistics()
    now = averaged(model)
    expected = {name: now[name] if "running" in name else value for name, value in before.items()}
    torch.testing.assert_close(average.state_dict()["average"], expected, rtol=0, atol=0)


def test_an_update_asks_for_no_value():
    """The meta device has none: whatever would make the CPU wait for one is an error there."""
    average = WeightAverage(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).to("meta"))
    average.start()
    average.update(0.1)
    with average.applied():
        average.read_statistics()
    assert average.updates == 1
