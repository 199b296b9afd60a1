from __future__ import annotations

import copy

import pytest
import torch
from torchvision.models import get_model

from fastreid.modeling.backbones import build_effnet_backbone
from fastreid.modeling.backbones.effnet import SCALES

from ..reference import backbone_input, fill_by_name, relative_error

CHANNELS = {"b0": 1280, "b1": 1280, "b2": 1408, "b3": 1536, "b4": 1792, "b5": 2048}


def configure(cfg, depth="b0", last_stride=1, norm="BN"):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.LAST_STRIDE, node.NORM = "build_effnet_backbone", depth, last_stride, norm
    return cfg


@pytest.mark.data
@pytest.mark.parametrize("depth", SCALES)
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth):
    with torch.device("meta"):
        net = build_effnet_backbone(configure(cfg, depth))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/effnet/{depth}"]


@pytest.mark.data
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs):
    net = build_effnet_backbone(configure(cfg)).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["effnet_b0"]) <= 1e-4


@pytest.mark.parametrize("depth", SCALES)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    with torch.device("meta"):
        net = build_effnet_backbone(configure(cfg, depth, last_stride)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    shape = net.output_shape()
    assert (shape.channels, shape.stride) == (CHANNELS[depth], 16 * last_stride)
    assert out.shape == (1, shape.channels, 256 // shape.stride, 128 // shape.stride)


@pytest.mark.parametrize("depth", ["b0", "b2"])
def test_with_the_last_stride_of_2_it_is_the_efficientnet_of_torchvision(cfg, depth):
    ours = build_effnet_backbone(configure(cfg, depth, 2)).eval().double()
    theirs = get_model(f"efficientnet_{depth}").features.eval().double()
    fill_by_name(ours)
    names, state = theirs.state_dict().keys(), ours.state_dict()
    assert len(names) == len(state)
    theirs.load_state_dict(dict(zip(names, state.values())))
    x = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN"])
def test_norms_train(cfg, norm):
    net = build_effnet_backbone(configure(cfg, norm=norm)).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


def test_norms_that_cannot_be_and_unknown_depths_are_errors(cfg):
    with pytest.raises(ValueError, match="NORM is '', but an EfficientNet needs a norm"):
        build_effnet_backbone(configure(cfg, norm=""))
    with pytest.raises(ValueError, match="NORM GN needs a multiple of 32 channels, got 16"):
        build_effnet_backbone(configure(cfg, norm="GN"))
    with pytest.raises(KeyError, match="DEPTH is 'b6', but build_effnet_backbone knows b0, b1, b2, b3, b4, b5"):
        build_effnet_backbone(configure(cfg, "b6"))


def test_channels_last_and_half_precision_give_the_same(cfg):
    net = build_effnet_backbone(configure(cfg)).eval()
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
