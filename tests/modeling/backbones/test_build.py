from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from fastreid.modeling import BACKBONE_REGISTRY, build_backbone
from fastreid.modeling.backbones import Backbone, FeatureShape

SMALLEST = {  # the others know 18x
    "build_effnet_backbone": "b0",
    "build_mobilenetv2_backbone": "0.1x",
    "build_mobilenetv3_backbone": "Small",
    "build_osnet_backbone": "x0_25",
    "build_regnet_backbone": "200y",
    "build_repvgg_backbone": "A0",
    "build_resnest_backbone": "50x",
    "build_resnext_backbone": "50x",
    "build_shufflenetv2_backbone": "0.5x",
    "build_swin_backbone": "tiny",
    "build_timm_backbone": "test_resnet",
    "build_vit_backbone": "deit_tiny",
}
_NAMES = sorted(name for name in BACKBONE_REGISTRY if name != "build_timm_backbone" or find_spec("timm"))
UNREAD = {
    **dict.fromkeys(SMALLEST, ("WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")),
    "build_osnet_backbone": ("WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL"),
    "build_resnext_backbone": ("WITH_SE",),
}


@pytest.mark.parametrize("name", _NAMES)
def test_backbone_output_has_its_declared_shape(cfg, name):
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.BACKBONE.DEPTH = SMALLEST.get(name, "18x")
    net = build_backbone(cfg).eval()
    with torch.no_grad():
        out = net(torch.rand(2, 3, 128, 64))
    shape = net.output_shape()
    size = (1, 1) if shape.stride is None else (128 // shape.stride, 64 // shape.stride)
    assert out.shape == (2, shape.channels, *size)


@pytest.mark.parametrize("name", [name for name in UNREAD if name in _NAMES])
def test_an_option_that_is_not_read_is_said(cfg, caplog, name):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH = name, SMALLEST[name]
    node.WITH_IBN = node.WITH_SE = node.WITH_NL = node.ZERO_INIT_RESIDUAL = True
    with torch.device("meta"):
        build_backbone(cfg)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"MODEL.BACKBONE.{option} has no effect: {name} does not read it" for option in UNREAD[name]]


def test_an_unknown_name_is_answered_with_the_nearest(cfg):
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbon"
    with pytest.raises(KeyError, match="Did you mean 'build_resnet_backbone'"):
        build_backbone(cfg)


def test_a_backbone_must_say_its_shape():
    class Shapeless(Backbone):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match="output_shape"):
        Shapeless()
    assert FeatureShape(512, 16) == FeatureShape(channels=512, stride=16)
