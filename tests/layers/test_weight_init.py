from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.layers import weight_init


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 100), ("fan_out", 400), ("fan_avg", 250)])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_variance_is_scale_over_fan(mode, fan, distribution):
    tensor = torch.empty(400, 100)
    assert weight_init.variance_scaling_(tensor, 2.0, mode, distribution) is tensor
    assert tensor.mean().item() == pytest.approx(0, abs=0.005)
    assert tensor.var().item() == pytest.approx(2.0 / fan, rel=0.05)


def test_truncation_cuts_at_two_standard_deviations_of_the_uncut_normal():
    tensor = weight_init.lecun_normal_(torch.empty(500, 100))
    assert tensor.var().item() == pytest.approx(1 / 100, rel=0.05)
    assert tensor.abs().max().item() <= 2 * 0.1 / 0.8796


def test_unknown_choices_are_rejected():
    with pytest.raises(ValueError, match="mode must be one of fan_in, fan_out, fan_avg, got 'fan'"):
        weight_init.variance_scaling_(torch.empty(2, 2), mode="fan")
    with pytest.raises(ValueError, match="got 'cauchy'"):
        weight_init.variance_scaling_(torch.empty(2, 2), distribution="cauchy")


def test_kaiming_fills_every_kind_of_layer():
    net = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Linear(64, 400), nn.InstanceNorm2d(4), nn.ReLU())
    for parameter in net.parameters():
        nn.init.constant_(parameter, 7.0)
    net.apply(weight_init.weights_init_kaiming)
    assert net[0].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert net[2].weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert net[1].weight.unique().tolist() == [1.0]
    assert all(layer.bias.unique().tolist() == [0.0] for layer in net[:3])


def test_classifier_fills_linear_layers_only():
    net = nn.Sequential(nn.Linear(64, 400), nn.Conv2d(1, 1, 1))
    conv = net[1].weight.clone()
    net.apply(weight_init.weights_init_classifier)
    assert net[0].weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert net[0].bias.unique().tolist() == [0.0]
    assert torch.equal(net[1].weight, conv)
