from __future__ import annotations

import copy
import itertools
import logging

import pytest
import torch
from torch import nn

from fastreid.modeling.backbones import build_osnet_backbone
from fastreid.modeling.backbones.osnet import WIDTHS, OSBlock, OSNet
from fastreid.utils.weights import WeightsMismatch

from ..reference import backbone_input, fill_by_name, relative_error


def configure(cfg, depth="x0_25", ibn=False):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.WITH_IBN = "build_osnet_backbone", depth, bool(ibn)
    return cfg


@pytest.mark.data
@pytest.mark.parametrize(("depth", "ibn"), list(itertools.product(WIDTHS, (0, 1))))
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth, ibn):
    with torch.device("meta"):
        net = build_osnet_backbone(configure(cfg, depth, ibn))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/osnet/{depth}/ibn={ibn}"]


@pytest.mark.data
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs):
    net = build_osnet_backbone(configure(cfg, "x1_0")).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["osnet_x1_0"]) <= 1e-4


@pytest.mark.parametrize("depth", WIDTHS)
def test_output_shape_is_the_declared_one(cfg, depth):
    with torch.device("meta"):
        net = build_osnet_backbone(configure(cfg, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    assert net.output_shape().channels == {"x1_0": 512, "x0_75": 384, "x0_5": 256, "x0_25": 128}[depth]
    assert out.shape == (1, net.output_shape().channels, 16, 8)
    assert net.output_shape().stride == 16


def test_a_block_is_the_gated_sum_of_four_streams_of_growing_reach():
    block = OSBlock(16, 64, "BN").eval().double()
    x = torch.randn(2, 16, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        reduced = block.conv1(x)
        total = torch.zeros(2, 16, 9, 9, dtype=torch.float64)
        for stream in (block.conv2a, block.conv2b, block.conv2c, block.conv2d):
            out = stream(reduced)
            for n, c in itertools.product(range(2), range(16)):
                hidden = torch.relu(block.gate.fc1.weight[:, :, 0, 0] @ out[n].mean(dim=(1, 2)) + block.gate.fc1.bias)
                gate = torch.sigmoid(block.gate.fc2.weight[c, :, 0, 0] @ hidden + block.gate.fc2.bias[c])
                total[n, c] += out[n, c] * gate
        expected = torch.relu(block.conv3(total) + block.downsample(x))
        torch.testing.assert_close(block(x), expected)
    assert [len(stream) for stream in (block.conv2b, block.conv2c, block.conv2d)] == [2, 3, 4]


def test_instance_norm_stands_in_the_stem_and_the_first_stage_only(cfg):
    net = build_osnet_backbone(configure(cfg, ibn=True))
    found = [name for name, module in net.named_modules() if isinstance(module, nn.InstanceNorm2d)]
    assert found == ["conv1.bn", "conv2.0.IN", "conv2.1.IN"]


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN"])
def test_norms_train(cfg, norm):
    cfg.MODEL.BACKBONE.NORM = norm
    net = build_osnet_backbone(configure(cfg, ibn=True)).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


def test_the_input_and_the_shortcut_are_not_changed_in_place(cfg):
    net = build_osnet_backbone(configure(cfg)).eval()
    x = torch.randn(2, 3, 64, 32)
    before = x.clone()
    with torch.no_grad():
        first = net(x)
        assert torch.equal(net(x), first)
    assert torch.equal(x, before)


def test_no_norm_and_unknown_depths_are_errors(cfg):
    with pytest.raises(KeyError, match="DEPTH is '50x', but build_osnet_backbone knows x1_0, x0_75, x0_5, x0_25"):
        build_osnet_backbone(configure(cfg, "50x"))
    cfg.MODEL.BACKBONE.NORM = ""
    with pytest.raises(ValueError, match="NORM is '', but an OSNet needs a norm"):
        build_osnet_backbone(configure(cfg))


def test_weights_that_no_program_can_get_are_named(cfg):
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with pytest.raises(ValueError, match=r"drive\.google\.com/file/d/1rb8UN5.*PRETRAIN_PATH"):
        build_osnet_backbone(configure(cfg))
    with pytest.raises(ValueError, match="nobody published ImageNet weights of ibn_x0_5"):
        build_osnet_backbone(configure(cfg, "x0_5", ibn=True))


def test_weights_of_a_whole_network_start_the_backbone(cfg, tmp_path, caplog):
    source = OSNet(widths=WIDTHS["x0_25"])
    fill_by_name(source)
    state = dict(source.state_dict()) | {"fc.0.weight": torch.ones(512, 128), "classifier.weight": torch.ones(9, 512)}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "osnet.pth")
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(tmp_path / "osnet.pth")
    with caplog.at_level(logging.INFO):
        net = build_osnet_backbone(configure(cfg))
    assert "fc.0.weight (left out)" in caplog.text
    assert "classifier.weight (left out)" in caplog.text
    for key, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    with pytest.raises(WeightsMismatch):
        build_osnet_backbone(configure(copy.deepcopy(cfg), "x0_5"))
