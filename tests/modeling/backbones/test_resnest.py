from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fastreid.layers import get_norm
from fastreid.modeling.backbones import build_resnest_backbone, common
from fastreid.modeling.backbones.resnest import LAYOUTS, PRETRAINED, Bottleneck
from fastreid.utils.weights import WeightsMismatch

from ..reference import backbone_input, fill_by_name, relative_error


def configure(cfg, depth="50x"):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_resnest_backbone", depth
    return cfg


@pytest.mark.data
@pytest.mark.parametrize("depth", ["50x", "101x"])
def test_names_and_shapes_of_the_recorded_variants(cfg, published_shapes, depth):
    with torch.device("meta"):
        net = build_resnest_backbone(configure(cfg, depth))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/resnest/{depth}"]


@pytest.mark.parametrize(("depth", "millions"), [("50x", 27.5), ("101x", 48.3), ("200x", 70.2), ("269x", 110.9)])
def test_every_depth_has_the_size_of_its_publication(cfg, depth, millions):
    classifier = 2048 * 1000 + 1000  # which the published numbers count
    with torch.device("meta"):
        net = build_resnest_backbone(configure(cfg, depth))
    count = sum(parameter.numel() for parameter in net.parameters())
    assert (count + classifier) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.data
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs):
    net = build_resnest_backbone(configure(cfg)).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["resnest50"]) <= 1e-4


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    cfg.MODEL.BACKBONE.LAST_STRIDE = last_stride
    with torch.device("meta"):
        net = build_resnest_backbone(configure(cfg, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    shape = net.output_shape()
    assert (shape.channels, shape.stride) == (2048, 16 * last_stride)
    assert out.shape == (1, 2048, 256 // shape.stride, 128 // shape.stride)


def test_a_map_with_a_ragged_edge_keeps_it(cfg):
    with torch.device("meta"):
        net = build_resnest_backbone(configure(cfg)).eval()
        assert net(torch.empty(1, 3, 250, 115)).shape == net(torch.empty(1, 3, 256, 128)).shape


def test_a_last_stage_at_stride_1_is_dilated_behind_its_first_block(cfg):
    for last_stride, expected in ((1, [1, 2, 2]), (2, [1, 1, 1])):
        cfg.MODEL.BACKBONE.LAST_STRIDE = last_stride
        with torch.device("meta"):
            net = build_resnest_backbone(configure(cfg))
        assert [block.conv2.conv.dilation[0] for block in net.layer4] == expected
        assert all(conv.dilation == (1, 1) for conv in net.layer3.modules() if isinstance(conv, nn.Conv2d))


@pytest.mark.parametrize(("pool_stride", "dilation"), [(0, 1), (0, 2), (1, 1), (2, 1)])
def test_a_block_is_its_definition(pool_stride, dilation):
    downsample = nn.Sequential(nn.AvgPool2d(pool_stride), nn.Conv2d(8, 16, 1)) if pool_stride else None
    block = Bottleneck(
        8 if downsample else 16, 4, "BN", dilation=dilation, pool_stride=pool_stride, downsample=downsample
    )
    fill_by_name(block)
    block = block.double().eval()
    x = torch.randn(2, block.conv1.in_channels, 6, 8, dtype=torch.float64)
    kept = x.clone()
    with torch.no_grad():
        out = F.relu(block.bn1(F.conv2d(x, block.conv1.weight)))
        out = block.conv2(out)  # (2, 4, 6, 8)
        if pool_stride:
            padded = F.pad(out, (1, 1, 1, 1))
            windows = padded.unfold(2, 3, pool_stride).unfold(3, 3, pool_stride)
            out = windows.sum(dim=(-2, -1)) / 9
        out = block.bn3(F.conv2d(out, block.conv3.weight))
        expected = F.relu(out + (downsample(x) if downsample else x))
        torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN"])
def test_norms_train(cfg, norm):
    cfg.MODEL.BACKBONE.NORM = norm
    net = build_resnest_backbone(configure(cfg)).train()
    assert isinstance(net.layer1[0].conv2.bn0, type(get_norm(norm, 8)))
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


def test_no_norm_and_unknown_depths_are_errors(cfg):
    with pytest.raises(KeyError, match="DEPTH is '18x', but build_resnest_backbone knows 50x, 101x, 200x, 269x"):
        build_resnest_backbone(configure(cfg, "18x"))
    cfg.MODEL.BACKBONE.NORM = ""
    with pytest.raises(ValueError, match="NORM is '', but a ResNeSt needs a norm"):
        build_resnest_backbone(configure(cfg))


class TestPretrain:
    """PRETRAIN, by path and by the published files."""

    def test_weights_are_loaded_and_the_classifier_left_out(self, cfg, tmp_path, caplog):
        source = build_resnest_backbone(configure(cfg))
        fill_by_name(source)
        state = source.state_dict()
        torch.save(state | {"fc.weight": torch.zeros(9, 2048), "fc.bias": torch.zeros(9)}, tmp_path / "net.pth")
        cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(tmp_path / "net.pth")
        with caplog.at_level(logging.INFO):
            net = build_resnest_backbone(cfg)
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
        assert "fc.weight (left out)" in caplog.text
        with torch.device("meta"), pytest.raises(WeightsMismatch, match="do not fit"):
            build_resnest_backbone(configure(cfg, "101x"))

    @pytest.mark.parametrize("depth", LAYOUTS)
    def test_the_published_file_is_asked_for(self, cfg, monkeypatch, depth):
        asked = []

        def read(source):
            asked.append(source)
            raise FileNotFoundError

        monkeypatch.setattr(common, "read_state_dict", read)
        cfg.MODEL.BACKBONE.PRETRAIN = True
        with torch.device("meta"), pytest.raises(FileNotFoundError):
            build_resnest_backbone(configure(cfg, depth))
        assert asked == [PRETRAINED[depth]]
        file = asked[0].rsplit("/", 1)[-1]
        assert file.startswith(f"resnest{depth[:-1]}-")
        assert torch.hub.HASH_REGEX.search(file)
