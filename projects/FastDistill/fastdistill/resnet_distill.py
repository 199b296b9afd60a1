"""v1.3's name of the backbone whose stages can be seen before their last ReLU: here, every ResNet can."""

from __future__ import annotations

from fastreid.config import CfgNode
from fastreid.modeling.backbones import BACKBONE_REGISTRY, build_resnet_backbone
from fastreid.modeling.backbones.resnet import ResNet

__all__ = ["build_resnet_backbone_distill"]


@BACKBONE_REGISTRY.register()
def build_resnet_backbone_distill(cfg: CfgNode) -> ResNet:
    """Build the ResNet of ``MODEL.BACKBONE``, without non-local blocks.

    v1.3 put the ReLU at the start of each block and one at the end of the network, so that a stage returns what its
    last ReLU would be given. Whether a ReLU ends a block or starts the next one, the network computes the same.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.WITH_NL = False
    return build_resnet_backbone(cfg)
