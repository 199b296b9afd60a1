from __future__ import annotations

import functools
import itertools
import logging

import pytest
import torch
import torchvision
from torch import nn

from fastreid.modeling.backbones import build_resnext_backbone, common
from fastreid.modeling.backbones.resnext import LAYOUTS, PRETRAINED, ResNeXt
from fastreid.utils.weights import WeightsMismatch

from ..reference import backbone_input, fill_by_name, relative_error


def configure(cfg, depth="50x", ibn=False, nl=False):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.WITH_IBN, node.WITH_NL = "build_resnext_backbone", depth, bool(ibn), bool(nl)
    return cfg


@pytest.mark.data
@pytest.mark.parametrize(("depth", "ibn", "nl"), list(itertools.product(LAYOUTS, (0, 1), (0, 1))))
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth, ibn, nl):
    with torch.device("meta"):
        net = build_resnext_backbone(configure(cfg, depth, ibn, nl))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/resnext/{depth}/ibn={ibn}/nl={nl}"]


@pytest.mark.data
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs):
    net = build_resnext_backbone(configure(cfg)).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["resnext50"]) <= 1e-4


def test_at_the_last_stride_of_imagenet_it_is_the_resnext_of_torchvision(cfg):
    cfg.MODEL.BACKBONE.LAST_STRIDE = 2
    net = build_resnext_backbone(configure(cfg)).eval().double()
    theirs = torchvision.models.resnext50_32x4d().eval().double()
    theirs.load_state_dict(net.state_dict(), strict=False)
    theirs.avgpool = theirs.fc = nn.Identity()
    x = torch.randn(1, 3, 63, 41, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x).flatten(1), theirs(x))


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    cfg.MODEL.BACKBONE.LAST_STRIDE = last_stride
    with torch.device("meta"):
        net = build_resnext_backbone(configure(cfg, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    shape = net.output_shape()
    assert (shape.channels, shape.stride) == (2048, 16 * last_stride)
    assert out.shape == (1, 2048, 256 // shape.stride, 128 // shape.stride)


def test_an_unknown_depth_is_answered_with_the_known(cfg):
    with pytest.raises(KeyError, match="DEPTH is '152x', but build_resnext_backbone knows 50x, 101x"):
        build_resnext_backbone(configure(cfg, "152x"))


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_it_trains(cfg, norm):
    cfg.MODEL.BACKBONE.NORM = norm
    net = build_resnext_backbone(configure(cfg, ibn=True, nl=True)).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


class TestPretrain:
    """PRETRAIN, from a file that looks like a published one: with a classifier."""

    @staticmethod
    def save(cfg, path, state, wrap=lambda state: state):
        torch.save(wrap(state | {"fc.weight": torch.zeros(9, 2048), "fc.bias": torch.zeros(9)}), path)
        cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(path)

    @staticmethod
    @functools.cache
    def source(ibn_stages=4):
        net = ResNeXt(blocks=LAYOUTS["50x"].blocks, with_ibn=True)
        if ibn_stages == 3:
            for block in net.layer4:
                block.bn1 = nn.BatchNorm2d(1024)
        fill_by_name(net)
        return net.state_dict()

    @pytest.mark.parametrize("prefix", ["module.base.", "encoder.net."])
    def test_names_may_have_a_prefix(self, cfg, tmp_path, caplog, prefix):
        state = self.source()
        self.save(
            cfg, tmp_path / "net.pth", state, lambda state: {"model": {prefix + key: state[key] for key in state}}
        )
        with caplog.at_level(logging.INFO):
            net = build_resnext_backbone(configure(cfg, ibn=True))
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
        assert "fc.weight (left out)" in caplog.text

    def test_non_local_blocks_may_be_missing(self, cfg, tmp_path, caplog):
        self.save(cfg, tmp_path / "net.pth", self.source())
        with caplog.at_level(logging.INFO):
            net = build_resnext_backbone(configure(cfg, ibn=True, nl=True))
        assert net.NL_2[0].W[1].weight.eq(0).all()
        assert "NL_2.0.g.weight (not in the file)" in caplog.text

    def test_batch_norms_of_the_last_stage_start_its_ibn(self, cfg, tmp_path):
        state = self.source(ibn_stages=3)
        self.save(cfg, tmp_path / "net.pth", state)
        net = build_resnext_backbone(configure(cfg, ibn=True))
        for i, block in enumerate(net.layer4):
            name = f"layer4.{i}.bn1"
            for leaf in ("weight", "bias"):
                halves = torch.cat([getattr(block.bn1.IN, leaf), getattr(block.bn1.BN, leaf)])
                assert torch.equal(halves, state[f"{name}.{leaf}"])
            for leaf in ("running_mean", "running_var"):
                assert torch.equal(getattr(block.bn1.BN, leaf), state[f"{name}.{leaf}"][512:])
        shared = [key for key in net.state_dict() if key in state]
        assert len(shared) > 300
        assert all(torch.equal(net.state_dict()[key], state[key]) for key in shared)

    @pytest.mark.parametrize("ibn_stages", [3, 4])
    def test_ibn_in_the_file_alone_is_an_error(self, cfg, tmp_path, ibn_stages):
        self.save(cfg, tmp_path / "net.pth", self.source(ibn_stages))
        with pytest.raises(WeightsMismatch, match=r"layer1\.0\.bn1\.IN\.weight"):
            build_resnext_backbone(configure(cfg))

    def test_a_file_without_a_stem_is_an_error(self, cfg, tmp_path):
        self.save(cfg, tmp_path / "net.pth", {"features.0.weight": torch.ones(3)})
        with pytest.raises(WeightsMismatch, match=r"features\.0\.weight"):
            build_resnext_backbone(configure(cfg))

    def test_the_published_file_is_asked_for(self, cfg, monkeypatch):
        asked = []

        def read(source):
            asked.append(source)
            raise FileNotFoundError

        monkeypatch.setattr(common, "read_state_dict", read)
        cfg.MODEL.BACKBONE.PRETRAIN = True
        with torch.device("meta"), pytest.raises(FileNotFoundError):
            build_resnext_backbone(configure(cfg, "101x", ibn=True))
        assert asked == [PRETRAINED["ibn_101x"]]
        assert torch.hub.HASH_REGEX.search(asked[0].rsplit("/", 1)[-1])

    def test_a_variant_that_nobody_published_is_an_error(self, cfg):
        cfg.MODEL.BACKBONE.PRETRAIN = True
        with torch.device("meta"), pytest.raises(KeyError, match=r"no ImageNet weights of 50x.*Published: ibn_101x"):
            build_resnext_backbone(configure(cfg))
