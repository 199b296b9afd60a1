"""Networks that turn images into feature maps."""

from __future__ import annotations

from .build import BACKBONE_REGISTRY, AttentionBackbone, Backbone, FeatureShape, build_backbone
from .effnet import build_effnet_backbone
from .mobilenet import build_mobilenetv2_backbone
from .mobilenetv3 import build_mobilenetv3_backbone
from .osnet import build_osnet_backbone
from .regnet import build_regnet_backbone
from .repvgg import build_repvgg_backbone
from .resnest import build_resnest_backbone
from .resnet import build_resnet_backbone
from .resnext import build_resnext_backbone
from .shufflenet import build_shufflenetv2_backbone
from .swin_transformer import build_swin_backbone
from .timm_backbone import build_timm_backbone
from .vision_transformer import build_vit_backbone

__all__ = [
    "BACKBONE_REGISTRY",
    "AttentionBackbone",
    "Backbone",
    "FeatureShape",
    "build_backbone",
    "build_effnet_backbone",
    "build_mobilenetv2_backbone",
    "build_mobilenetv3_backbone",
    "build_osnet_backbone",
    "build_regnet_backbone",
    "build_repvgg_backbone",
    "build_resnest_backbone",
    "build_resnet_backbone",
    "build_resnext_backbone",
    "build_shufflenetv2_backbone",
    "build_swin_backbone",
    "build_timm_backbone",
    "build_vit_backbone",
]
