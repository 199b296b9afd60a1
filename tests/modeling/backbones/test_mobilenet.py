from __future__ import annotations

import logging

import pytest
import torch
from torchvision import models

from fastreid.modeling.backbones import build_mobilenetv2_backbone
from fastreid.utils.weights import WeightsMismatch

from ..reference import fill_by_name


@pytest.fixture
def cfg(cfg, tmp_path):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH = "build_mobilenetv2_backbone", "0.1x"
    node.PRETRAIN, node.PRETRAIN_PATH = True, str(tmp_path / "net.pth")
    return cfg


def test_weights_with_the_same_names_are_loaded_and_the_classifier_left_out(cfg, caplog):
    cfg.MODEL.BACKBONE.PRETRAIN = False
    source = build_mobilenetv2_backbone(cfg)
    fill_by_name(source)
    state = source.state_dict()
    classifier = {"classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}
    torch.save(state | classifier, cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with caplog.at_level(logging.INFO):
        net = build_mobilenetv2_backbone(cfg)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert "classifier.weight (left out)" in caplog.text
    cfg.MODEL.BACKBONE.DEPTH = "0.25x"
    with pytest.raises(WeightsMismatch):
        build_mobilenetv2_backbone(cfg)


def test_with_torchvisions_weights_the_map_is_torchvisions(cfg):
    theirs = models.mobilenet_v2(weights=None, width_mult=0.25).eval()
    fill_by_name(theirs)
    state = {key: value for key, value in theirs.state_dict().items() if "num_batches_tracked" not in key}
    torch.save(state, cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    cfg.MODEL.BACKBONE.DEPTH = "0.25x"
    net = build_mobilenetv2_backbone(cfg).eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(images), theirs.features(images))


def test_a_file_of_torchvision_that_lacks_a_tensor_is_an_error(cfg):
    state = models.mobilenet_v2(weights=None, width_mult=0.25).state_dict()
    del state["features.2.conv.1.0.weight"]
    torch.save(state, cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    cfg.MODEL.BACKBONE.DEPTH = "0.25x"
    with pytest.raises(WeightsMismatch, match=r"not in the weights: features\.2\.conv\.3\.weight"):
        build_mobilenetv2_backbone(cfg)
