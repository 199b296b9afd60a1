from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torchvision.models import get_model

from fastreid.modeling.backbones import build_regnet_backbone
from fastreid.modeling.backbones.regnet import LAYOUTS

from ..reference import backbone_input, fill_by_name, relative_error

CHANNELS = {
    **{"200x": 368, "400x": 384, "800x": 672, "1600x": 912, "3200x": 1008, "4000x": 1360, "6400x": 1624},
    **{"200y": 368, "400y": 440, "800y": 768, "1600y": 888, "3200y": 1512, "4000y": 1088, "6400y": 1296},
}


def configure(cfg, depth="200y", last_stride=1, norm="BN"):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.LAST_STRIDE, node.NORM = "build_regnet_backbone", depth, last_stride, norm
    return cfg


@pytest.mark.data
@pytest.mark.parametrize("depth", LAYOUTS)
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth):
    with torch.device("meta"):
        net = build_regnet_backbone(configure(cfg, depth))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/regnet/{depth}"]


@pytest.mark.data
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs):
    net = build_regnet_backbone(configure(cfg, "800y")).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["regnety_800"]) <= 1e-4


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    with torch.device("meta"):
        net = build_regnet_backbone(configure(cfg, depth, last_stride)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    shape = net.output_shape()
    assert (shape.channels, shape.stride) == (CHANNELS[depth], 16 * last_stride)
    assert out.shape == (1, shape.channels, 256 // shape.stride, 128 // shape.stride)


@pytest.mark.parametrize(
    ("depth", "name"), [("800x", "regnet_x_800mf"), ("1600x", "regnet_x_1_6gf"), ("400y", "regnet_y_400mf")]
)
def test_with_the_last_stride_of_2_it_is_the_regnet_of_torchvision(cfg, depth, name):
    ours, theirs = build_regnet_backbone(configure(cfg, depth, 2)).eval().double(), get_model(name).eval().double()
    fill_by_name(ours)
    del theirs.fc
    names, state = theirs.state_dict().keys(), ours.state_dict()
    assert len(names) == len(state)
    theirs.load_state_dict(dict(zip(names, state.values())))
    x = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs.trunk_output(theirs.stem(x)))


# DEPTH -> initial width, slope, step of the widths, number of blocks, channels of a group: the paper's parameters
PARAMETERS = {
    "200x": (24, 36.44, 2.49, 13, 8),
    "400x": (24, 24.48, 2.54, 22, 16),
    "800x": (56, 35.73, 2.28, 16, 16),
    "1600x": (80, 34.01, 2.25, 18, 24),
    "3200x": (88, 26.31, 2.25, 25, 48),
    "4000x": (96, 38.65, 2.43, 23, 40),
    "6400x": (184, 60.83, 2.07, 17, 56),
    "200y": (24, 36.44, 2.49, 13, 8),
    "400y": (48, 27.89, 2.09, 16, 8),
    "800y": (56, 38.84, 2.4, 14, 16),
    "1600y": (48, 20.71, 2.65, 27, 24),
    "3200y": (80, 42.63, 2.66, 21, 24),
    "4000y": (96, 31.41, 2.24, 22, 64),
    "6400y": (112, 33.22, 2.27, 25, 72),
}


@pytest.mark.parametrize("depth", LAYOUTS)
def test_the_widths_are_those_of_the_papers_line(depth):
    initial, slope, step, count, group_width = PARAMETERS[depth]
    widths = []
    for block in range(count):
        exact = initial + slope * block
        power = round(math.log(exact / initial) / math.log(step))
        width = round(initial * step**power / 8) * 8
        widths.append(round(width / group_width) * group_width)
    found = LAYOUTS[depth]
    stages = [(width, len(list(same))) for width, same in itertools.groupby(widths)]
    assert stages == list(zip(found.widths, found.blocks))
    assert found.group_width == group_width


def test_no_build_changes_another(cfg):
    def keys(depth):
        with torch.device("meta"):
            return build_regnet_backbone(configure(copy.deepcopy(cfg), depth)).state_dict().keys()

    before = keys("800x")
    assert any(".se." in key for key in keys("800y"))
    assert keys("800x") == before
    assert not any(".se." in key for key in before)


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN"])
def test_norms_train(cfg, norm):
    net = build_regnet_backbone(configure(cfg, norm=norm)).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


def test_norms_that_cannot_be_and_unknown_depths_are_errors(cfg):
    with pytest.raises(ValueError, match="NORM is '', but a RegNet needs a norm"):
        build_regnet_backbone(configure(cfg, norm=""))
    with pytest.raises(ValueError, match="NORM GN needs a multiple of 32 channels, got 24"):
        build_regnet_backbone(configure(cfg, norm="GN"))
    with pytest.raises(KeyError, match="DEPTH is '50x', but build_regnet_backbone knows 200x, 400x"):
        build_regnet_backbone(configure(cfg, "50x"))


def test_group_norm_fits_where_the_widths_do(cfg):
    net = build_regnet_backbone(configure(cfg, "800y", norm="GN")).train()
    net(torch.randn(2, 3, 32, 32)).mean().backward()
    assert net.stem.conv.weight.grad.isfinite().all()


@pytest.mark.parametrize("depth", ["200x", "200y"])
def test_channels_last_and_half_precision_give_the_same(cfg, depth):
    net = build_regnet_backbone(configure(cfg, depth)).eval()
    fill_by_name(net)
    x = torch.randn(2, 3, 64, 32)
    before = x.clone()
    with torch.no_grad():
        expected = net(x)
        assert torch.equal(x, before)
        last = copy.deepcopy(net).to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)
        half = net.half()(x.half()).float()
    assert relative_error(half, expected.numpy()) <= 0.02
