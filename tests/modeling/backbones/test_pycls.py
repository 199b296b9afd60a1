"""Squeeze-and-excitation, random start and ImageNet weights of the networks that pycls published."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch
from torch import nn

from fastreid.modeling import build_backbone
from fastreid.modeling.backbones import common, effnet, regnet
from fastreid.modeling.backbones.pycls import SqueezeExcite
from fastreid.utils.weights import WeightsMismatch

from ..reference import fill_by_name

SMALLEST = {"build_regnet_backbone": ("200x", "200y"), "build_effnet_backbone": ("b0", "b1")}
EACH_NETWORK = pytest.mark.parametrize("name", SMALLEST)


def configure(cfg, name, depth=None):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH = name, depth or SMALLEST[name][0]
    return cfg


def test_squeeze_and_excitation_weighs_channels_by_their_means():
    layer = SqueezeExcite(8, 2, nn.SiLU()).double()
    first, last = layer.f_ex[0], layer.f_ex[2]
    x = torch.randn(2, 8, 5, 3, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n, c in itertools.product(range(2), range(8)):
        z = first.weight[:, :, 0, 0] @ x[n].mean(dim=(1, 2)) + first.bias
        hidden = z / (1 + torch.exp(-z))
        expected[n, c] = x[n, c] / (1 + torch.exp(-(last.weight[c, :, 0, 0] @ hidden + last.bias[c])))
    torch.testing.assert_close(layer(x), expected)


@EACH_NETWORK
def test_random_start_has_the_spread_of_its_fan_out(cfg, name):
    net = build_backbone(configure(cfg, name))
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.weight.numel() > 2e4]
    assert len(convolutions) > 10
    for conv in convolutions:
        fan_out = conv.kernel_size[0] ** 2 * conv.out_channels
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in norms)


def save_checkpoint(cfg, path):
    """Write what pycls writes, with a classifier, and point PRETRAIN_PATH to it."""
    net = build_backbone(cfg)
    fill_by_name(net)
    state = net.state_dict()
    classifier = {"head.fc.weight": torch.zeros(1000, 9), "head.fc.bias": torch.zeros(1000)}
    torch.save({"epoch": 99, "model_state": state | classifier, "cfg": "OUT_DIR: ."}, path)
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(path)
    return state


@EACH_NETWORK
@pytest.mark.parametrize(("file", "is_bgr"), [("mine.pth", False), ("X-1.6GF_dds_8gpu.pyth", True)])
def test_weights_are_loaded_for_rgb_and_the_classifier_left_out(cfg, tmp_path, caplog, name, file, is_bgr):
    state = save_checkpoint(configure(cfg, name), tmp_path / file)
    with caplog.at_level(logging.INFO):
        net = build_backbone(cfg)
    if is_bgr:
        state["stem.conv.weight"] = state["stem.conv.weight"][:, [2, 1, 0]]
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert "head.fc.weight (left out)" in caplog.text
    assert ("for BGR images" in caplog.text) is is_bgr


@EACH_NETWORK
def test_weights_of_another_depth_are_an_error(cfg, tmp_path, name):
    save_checkpoint(configure(cfg, name), tmp_path / "net.pyth")
    with pytest.raises(WeightsMismatch, match="do not fit"):
        build_backbone(configure(cfg, name, SMALLEST[name][1]))


@pytest.mark.parametrize(
    ("name", "depth", "file"),
    [
        ("build_regnet_backbone", "800x", "160906036/RegNetX-800MF_dds_8gpu.pyth"),
        ("build_regnet_backbone", "1600y", "160906681/RegNetY-1.6GF_dds_8gpu.pyth"),
        ("build_effnet_backbone", "b0", "161305613/EN-B0_dds_8gpu.pyth"),
        ("build_effnet_backbone", "b5", "161305138/EN-B5_dds_8gpu.pyth"),
    ],
)
def test_the_published_file_is_asked_for(cfg, monkeypatch, name, depth, file):
    asked = []

    def read(source):
        asked.append(source)
        raise FileNotFoundError

    monkeypatch.setattr(common, "read_state_dict", read)
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with torch.device("meta"), pytest.raises(FileNotFoundError):
        build_backbone(configure(cfg, name, depth))
    assert asked == [f"https://dl.fbaipublicfiles.com/pycls/dds_baselines/{file}"]


@EACH_NETWORK
def test_downloaded_weights_are_turned_to_rgb(cfg, monkeypatch, tmp_path, name):
    state = save_checkpoint(configure(cfg, name), tmp_path / "net.pyth")
    cfg.MODEL.BACKBONE.PRETRAIN_PATH = ""
    monkeypatch.setattr(common, "read_state_dict", lambda _: dict(state))
    net = build_backbone(cfg)
    assert torch.equal(net.stem.conv.weight, state["stem.conv.weight"].flip(1))


@pytest.mark.parametrize("module", [regnet, effnet])
def test_every_depth_has_a_file_of_its_own(module):
    depths = module.LAYOUTS if module is regnet else module.SCALES
    assert list(module.PRETRAINED) == list(depths)
    assert len({file.split("/")[0] for file in module.PRETRAINED.values()}) == len(depths)
