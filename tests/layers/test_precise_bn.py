from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fastreid.engine import launch
from fastreid.layers import get_norm
from fastreid.layers.batch_norm import IBN, GhostBatchNorm
from fastreid.layers.precise_bn import get_bn_modules, update_bn_stats
from fastreid.utils import comm


class Net(nn.Module):
    """Wants targets in training mode, as a model of the library does; so does its head."""

    def __init__(self, norm="BN"):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), get_norm(norm, 4), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.second = get_norm(norm, 4)

    def forward(self, images):
        features = self.second(self.backbone(images))
        if self.training:
            raise ValueError("no targets")
        return features


def batches(count=5, dtype=torch.float64, seed=0):
    """Batches of different sizes, means and spreads."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3 + 2 * i, 3, 2, 2, dtype=dtype, generator=generator) * (1 + i) + 3 * i for i in range(count)]


def statistics_as_loops(model, data):
    """Mean and population variance of all inputs of both norms, each batch normalised by itself as in training."""
    firsts, seconds = [], []
    norm = model.backbone[1]
    for images in data:
        x = model.backbone[0](images)
        firsts.append(x)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        y = (x - mean) / (var + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        seconds.append(model.backbone[3](y.relu()))
    found = []
    for inputs in (firsts, seconds):
        for channel in range(4):
            numbers = torch.cat([x[:, channel].flatten() for x in inputs])
            mean = numbers.sum() / len(numbers)
            found += [mean.item(), (numbers.square().sum() / len(numbers) - mean**2).item()]
    return found


def statistics(model):
    return [
        number.item()
        for norm in (model.backbone[1], model.second)
        for pair in zip(norm.running_mean, norm.running_var)
        for number in pair
    ]


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN"])
def test_statistics_equal_their_definition(norm):
    torch.manual_seed(0)
    model = Net(norm).double()
    nn.init.uniform_(model.backbone[1].weight, 0.5, 2.0)
    data = batches()
    with torch.no_grad():
        expected = statistics_as_loops(model, data)
    update_bn_stats(model, data, len(data))
    assert statistics(model) == pytest.approx(expected, rel=1e-9)


def test_single_precision_does_not_cancel():
    """Where E[x^2] - E[x]^2 of float32 numbers would have no digit left."""
    norm = nn.Sequential(nn.BatchNorm2d(1))
    data = [torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(i)) + 1e4 for i in range(20)]
    update_bn_stats(norm, data, 20)
    exact = torch.cat(data).double()
    assert norm[0].running_mean.item() == pytest.approx(exact.mean().item(), rel=1e-6)
    assert norm[0].running_var.item() == pytest.approx(exact.var(correction=0).item(), rel=1e-3)


def test_nothing_else_changes():
    torch.manual_seed(0)
    model = Net().double()
    model.backbone[0].eval()
    model.second.momentum = None
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    update_bn_stats(model, batches(), 2)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"{norm}.running_{what}" for norm in ("backbone.1", "second") for what in ("mean", "var")}
    assert [module.training for module in model.modules()] == modes
    assert (model.backbone[1].momentum, model.second.momentum) == (0.1, None)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_norms_that_stand_still_are_left_alone():
    model = Net()
    model.backbone.eval()
    assert get_bn_modules(model) == [model.second]
    before = model.backbone[1].running_mean.clone()
    update_bn_stats(model, batches(dtype=torch.float32), 2)
    assert torch.equal(model.backbone[1].running_mean, before)
    assert not torch.equal(model.second.running_mean, before)


def test_which_modules_are_batch_norms():
    found = nn.Sequential(nn.BatchNorm1d(2), nn.SyncBatchNorm(2), GhostBatchNorm(2), IBN(4, "BN"))
    others = nn.Sequential(nn.InstanceNorm2d(2), get_norm("FrozenBN", 2), nn.BatchNorm2d(2, track_running_stats=False))
    assert get_bn_modules(nn.Sequential(found, others)) == [found[0], found[1], found[2], found[3].BN]
    assert get_bn_modules(found.eval()) == []


def test_dropout_is_as_in_training():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(1))
    update_bn_stats(model, [torch.ones(10000, 1)], 1)
    assert model[1].running_var.item() == pytest.approx(1.0, abs=0.05)  # of 0 and 2, each half of the time


def test_a_norm_that_sees_nothing_keeps_what_it_has():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.BatchNorm1d(1), nn.BatchNorm1d(1)

        def forward(self, x):
            return self.used(x)

    model = Branch()
    model.unused.running_mean.fill_(7.0)
    update_bn_stats(model, [torch.ones(4, 1) * 3], 1)
    assert (model.used.running_mean.item(), model.unused.running_mean.item()) == (3.0, 7.0)


def test_too_few_batches_change_nothing():
    model = Net()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"TEST\.PRECISE_BN\.NUM_ITER\) is 9, but there are only 5 batches; lower it"):
        update_bn_stats(model, batches(dtype=torch.float32), 9)
    with pytest.raises(ValueError, match=r"TEST\.PRECISE_BN\.NUM_ITER\) must be >= 1, got 0"):
        update_bn_stats(model, [], 0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training and model.backbone.training


def on_one_rank(folder):
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(Net().double())
    update_bn_stats(model, batches(2 + comm.get_rank(), seed=comm.get_rank()), 2)
    torch.save(model.module.state_dict(), f"{folder}/{comm.get_rank()}.pth")


def test_two_ranks_agree_on_the_statistics_of_both(tmp_path):
    launch(on_one_rank, 2, args=(str(tmp_path),), device="cpu")
    states = [torch.load(tmp_path / f"{rank}.pth") for rank in range(2)]
    torch.manual_seed(0)
    model = Net().double()
    update_bn_stats(model, batches(2, seed=0) + batches(2, seed=1), 4)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(states[0][key], value, rtol=1e-12, atol=1e-12)
        assert torch.equal(states[0][key], states[1][key])
