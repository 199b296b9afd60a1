from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.modeling.backbones import Backbone, FeatureShape
from fastreid.modeling.backbones.feature_map import (
    cut_what_is_unused,
    features_of,
    map_of_tokens,
    use_last_stride_of_one,
)


def images(height=64, width=32, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


class Halving(Backbone):
    def __init__(self, kernel=3, padding=1, sliced=False):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, 2, 1)
        self.last = nn.Conv2d(4, 4, kernel, 2, padding)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1))
        self.sliced = sliced

    def output_shape(self):
        return FeatureShape(4, 4)

    def forward(self, x):
        x = self.first(x)
        y = self.last(x)
        y = y * self.squeeze(y)
        return y + x[:, :, ::2, ::2] if self.sliced else y


def test_looking_leaves_the_network_as_it_was():
    net = Halving().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    found = features_of(net, (64, 32))
    assert (found.shape, found.unused, net.training) == ((4, 16, 8), (), True)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


class Reading(Halving):
    """A network that reads a value of a tensor, which there is none of on the meta device."""

    def forward(self, x):
        return super().forward(x) if float(x.sum()) == 0 else x


def test_where_shapes_alone_do_not_do_one_image_is_computed():
    assert features_of(Reading(), (64, 32)) == features_of(Halving(), (64, 32))
    with torch.device("meta"), pytest.raises(RuntimeError):
        features_of(Reading(), (64, 32))


def test_what_nothing_depends_on_goes():
    net = Halving()
    net.head = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    net.pair = nn.ModuleDict({"used": net.last, "unused": nn.Linear(4, 2)})
    net.token = nn.Parameter(torch.zeros(4))
    before = net.eval()(images())
    unused = features_of(net, (64, 32)).unused
    assert {name.split(".")[0] for name in unused} == {"head", "pair", "token"}
    assert cut_what_is_unused(net, unused) == ["head", "pair.unused"]
    assert isinstance(net.head, nn.Identity)
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == ["token"]
    assert torch.equal(net(images()), before)


def test_changing_the_stride_moves_nothing():
    net = Halving().eval()
    before = net.last(net.first(images()))
    assert use_last_stride_of_one(net, (64, 32))
    after = net.last(net.first(images()))
    assert (net.first.stride, net.last.stride) == ((2, 2), (1, 1))
    torch.testing.assert_close(after[:, :, ::2, ::2], before)


@pytest.mark.parametrize("net", [Halving(kernel=2, padding=0), Halving(sliced=True)])
def test_where_something_would_be_moved_nothing_changes(net):
    assert not use_last_stride_of_one(net, (64, 32))
    assert (net.first.stride, net.last.stride) == ((2, 2), (2, 2))


def test_tokens_lie_as_in_the_image():
    tokens = torch.arange(18).view(1, 18, 1)
    assert torch.equal(map_of_tokens(tokens, nn.Identity(), (97, 50))[0, 0], torch.arange(18).view(6, 3))
    with pytest.raises(ValueError, match="17 tokens are no grid of square patches of an image of 97 x 50 pixels"):
        map_of_tokens(tokens[:, 1:], nn.Identity(), (97, 50))
