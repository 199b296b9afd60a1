from __future__ import annotations

import itertools
import logging

import pytest
import torch
from torch import nn

from fastreid.modeling.backbones import build_backbone, build_resnet_backbone, common
from fastreid.modeling.backbones import resnet as resnet_module
from fastreid.modeling.backbones.resnet import LAYOUTS, PRETRAINED, Bottleneck
from fastreid.utils.weights import WeightsMismatch

from ..reference import backbone_input, fill_by_name, relative_error


def configure(cfg, depth="18x", ibn=False, se=False, nl=False):
    node = cfg.MODEL.BACKBONE
    node.DEPTH, node.WITH_IBN, node.WITH_SE, node.WITH_NL = depth, bool(ibn), bool(se), bool(nl)
    return cfg


VARIANTS = list(itertools.product(LAYOUTS, (0, 1), (0, 1), (0, 1)))


@pytest.mark.data
@pytest.mark.parametrize(("depth", "ibn", "nl", "se"), VARIANTS)
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth, ibn, nl, se):
    with torch.device("meta"):
        net = build_resnet_backbone(configure(cfg, depth, ibn, se, nl))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/resnet/{depth}/ibn={ibn}/nl={nl}/se={se}"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "depth", "ibn", "nl"),
    [("resnet18", "18x", 0, 0), ("resnet50_ibn", "50x", 1, 0), ("resnet50_nl", "50x", 0, 1)],
)
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs, name, depth, ibn, nl):
    net = build_resnet_backbone(configure(cfg, depth, ibn=ibn, nl=nl)).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs[name]) <= 1e-4


@pytest.mark.parametrize("depth", LAYOUTS)
@pytest.mark.parametrize("last_stride", [1, 2])
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    cfg.MODEL.BACKBONE.LAST_STRIDE = last_stride
    with torch.device("meta"):
        net = build_resnet_backbone(configure(cfg, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    shape = net.output_shape()
    assert shape.channels == (512 if depth in ("18x", "34x") else 2048)
    assert shape.stride == 16 * last_stride
    assert out.shape == (1, shape.channels, 256 // shape.stride, 128 // shape.stride)


def test_an_unknown_depth_is_answered_with_the_known(cfg):
    with pytest.raises(KeyError, match="DEPTH is '50', but build_resnet_backbone knows 18x, 34x, 50x, 101x"):
        build_resnet_backbone(configure(cfg, "50"))


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN", "GN"])
def test_every_norm_trains(cfg, norm):
    cfg.MODEL.BACKBONE.NORM = norm
    net = build_resnet_backbone(configure(cfg, ibn=True)).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert net.conv1.weight.grad.isfinite().all()


def test_no_norm_is_an_error(cfg):
    cfg.MODEL.BACKBONE.NORM = ""
    with pytest.raises(ValueError, match="NORM is '', but a ResNet needs a norm"):
        build_resnet_backbone(cfg)


def test_non_local_blocks_stand_behind_the_last_blocks_of_their_stage(cfg):
    net = build_resnet_backbone(configure(cfg, "50x", nl=True)).eval()
    order = []
    for name, module in net.named_modules():
        if isinstance(module, (Bottleneck, resnet_module.Non_local)):
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    with torch.no_grad():
        net(torch.rand(1, 3, 32, 32))
    assert order == [
        *("layer1.0", "layer1.1", "layer1.2"),
        *("layer2.0", "layer2.1", "layer2.2", "NL_2.0", "layer2.3", "NL_2.1"),
        *("layer3.0", "layer3.1", "layer3.2", "layer3.3", "NL_3.0", "layer3.4", "NL_3.1", "layer3.5", "NL_3.2"),
        *("layer4.0", "layer4.1", "layer4.2"),
    ]


def test_non_local_without_blocks_is_said(cfg, caplog):
    with caplog.at_level(logging.WARNING):
        build_resnet_backbone(configure(cfg, "18x", nl=True))
    assert "WITH_NL has no effect" in caplog.text


def test_random_start_has_the_spread_of_its_fan_out(cfg):
    net = build_resnet_backbone(configure(cfg, "18x", ibn=True))
    for conv in (net.conv1, net.layer3[0].conv2, net.layer4[0].downsample[0]):
        fan_out = conv.kernel_size[0] ** 2 * conv.out_channels
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    norms = [module for module in net.modules() if isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d))]
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in norms)


@pytest.mark.parametrize(("name", "depth"), [("resnet", "18x"), ("resnet", "50x"), ("resnext", "50x")])
def test_zero_init_starts_each_block_as_its_shortcut(cfg, name, depth):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.WITH_IBN, node.ZERO_INIT_RESIDUAL = f"build_{name}_backbone", depth, True, True
    net = build_backbone(cfg)
    block = net.layer3[1]
    x = torch.rand(2, 256 if depth == "18x" else 1024, 4, 4)
    assert torch.equal(block(x), x)
    net(torch.rand(2, 3, 64, 32)).sum().backward()
    assert block.last_norm.weight.grad.abs().sum() > 0  # it learns from the first step on
    node.NORM = "FrozenBN"
    with pytest.raises(ValueError, match="ZERO_INIT_RESIDUAL needs a norm that learns, but NORM is 'FrozenBN'"):
        build_backbone(cfg)


def test_channels_last_gives_the_same(cfg):
    net = build_resnet_backbone(configure(cfg, "50x", ibn=True, se=True, nl=True)).eval()
    x = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = net(x)
        out = net.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


class TestPretrain:
    """PRETRAIN, from a file that looks like a published one: with a classifier, without batch counters."""

    @staticmethod
    def save_classifier(cfg, path, **variant):
        net = build_resnet_backbone(configure(cfg, **variant))
        fill_by_name(net)
        state = {key: value for key, value in net.state_dict().items() if "num_batches_tracked" not in key}
        state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
        torch.save(state, path)
        cfg.MODEL.BACKBONE.PRETRAIN = True
        cfg.MODEL.BACKBONE.PRETRAIN_PATH = str(path)
        return state

    def test_weights_are_loaded_and_the_classifier_left_out(self, cfg, tmp_path, caplog):
        state = self.save_classifier(cfg, tmp_path / "net.pth")
        with caplog.at_level(logging.INFO):
            net = build_resnet_backbone(cfg)
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items() if key in state)
        assert "fc.weight" in caplog.text

    def test_blocks_that_the_source_never_had_keep_their_start(self, cfg, tmp_path, caplog):
        state = self.save_classifier(cfg, tmp_path / "net.pth")
        with caplog.at_level(logging.INFO):
            net = build_resnet_backbone(configure(cfg, se=True))
        assert torch.equal(net.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
        assert "layer1.0.se.fc.0.weight (not in the file)" in caplog.text

    def test_non_local_blocks_may_be_missing(self, cfg, tmp_path, caplog):
        self.save_classifier(cfg, tmp_path / "net.pth", depth="50x")
        with caplog.at_level(logging.INFO):
            net = build_resnet_backbone(configure(cfg, "50x", nl=True))
        assert net.NL_2[0].W[1].weight.eq(0).all()
        assert "NL_2.0.g.weight (not in the file)" in caplog.text

    def test_some_of_the_blocks_missing_is_an_error(self, cfg, tmp_path):
        state = self.save_classifier(cfg, tmp_path / "net.pth", se=True)
        del state["layer1.0.se.fc.0.weight"]
        torch.save(state, tmp_path / "net.pth")
        with pytest.raises(WeightsMismatch, match=r"layer1\.0\.se\.fc\.0\.weight"):
            build_resnet_backbone(cfg)

    @pytest.mark.parametrize("variant", [{"ibn": True}, {"depth": "34x"}])
    def test_another_network_is_an_error(self, cfg, tmp_path, variant):
        self.save_classifier(cfg, tmp_path / "net.pth")
        with pytest.raises(WeightsMismatch, match="do not fit"):
            build_resnet_backbone(configure(cfg, **variant))

    @pytest.mark.parametrize(
        ("depth", "ibn", "se", "file"),
        [
            ("50x", False, False, "resnet50-19c8e357.pth"),
            ("50x", True, False, "resnet50_ibn_a-d9d0bb7b.pth"),
            ("101x", True, True, "se_resnet101_ibn_a-fabed4e2.pth"),
        ],
    )
    def test_the_published_file_of_the_variant_is_asked_for(self, cfg, monkeypatch, depth, ibn, se, file):
        asked = []

        def read(source):
            asked.append(source)
            raise FileNotFoundError

        monkeypatch.setattr(common, "read_state_dict", read)
        cfg.MODEL.BACKBONE.PRETRAIN = True
        with pytest.raises(FileNotFoundError):
            build_resnet_backbone(configure(cfg, depth, ibn=ibn, se=se))
        assert asked[0].rsplit("/", 1)[-1] == file

    def test_a_variant_that_nobody_published_is_an_error(self, cfg):
        cfg.MODEL.BACKBONE.PRETRAIN = True
        with pytest.raises(KeyError, match=r"no ImageNet weights of se_50x.*can be downloaded.*PRETRAIN_PATH"):
            build_resnet_backbone(configure(cfg, "50x", se=True))

    def test_every_published_file_has_its_hash_in_its_name(self):
        for url in PRETRAINED.values():
            assert torch.hub.HASH_REGEX.search(url.rsplit("/", 1)[-1])
