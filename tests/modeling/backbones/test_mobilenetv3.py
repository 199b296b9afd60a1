from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torchvision import models

from fastreid.modeling.backbones import build_mobilenetv3_backbone
from fastreid.utils.weights import WeightsMismatch

from ..reference import fill_by_name


@pytest.fixture
def cfg(cfg, tmp_path):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH = "build_mobilenetv3_backbone", "Small"
    node.PRETRAIN, node.PRETRAIN_PATH = True, str(tmp_path / "net.pth")
    return cfg


def test_with_torchvisions_weights_the_features_are_torchvisions(cfg, caplog):
    theirs = models.mobilenet_v3_small(weights=None, norm_layer=nn.BatchNorm2d).eval()
    fill_by_name(theirs)
    torch.save(theirs.state_dict(), cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    with caplog.at_level(logging.INFO):
        net = build_mobilenetv3_backbone(cfg).eval()
    assert "conv.0.weight (not in the file)" in caplog.text
    assert "classifier.0.weight (left out)" in caplog.text
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        features = theirs.features(images)  # (2, 576, 2, 1)
        torch.testing.assert_close(net.features(images), features)
        conv, norm, _ = net.conv
        expected = norm(torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], features)).clamp(0, 6)
        torch.testing.assert_close(net(images), expected)


def test_a_file_with_some_of_the_last_convolution_is_an_error(cfg):
    cfg.MODEL.BACKBONE.PRETRAIN = False
    state = build_mobilenetv3_backbone(cfg).state_dict()
    del state["conv.1.weight"]
    torch.save(state, cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with pytest.raises(WeightsMismatch, match=r"not in the weights: conv\.1\.weight"):
        build_mobilenetv3_backbone(cfg)


def test_the_other_size_is_an_error(cfg):
    torch.save(models.mobilenet_v3_small(weights=None).state_dict(), cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    cfg.MODEL.BACKBONE.DEPTH = "Large"
    with pytest.raises(WeightsMismatch):
        build_mobilenetv3_backbone(cfg)
