"""What a network is: backbones, heads, losses, and the meta-architectures that join them."""

from __future__ import annotations

from . import losses
from .backbones import BACKBONE_REGISTRY, build_backbone, build_resnet_backbone
from .heads import REID_HEADS_REGISTRY, EmbeddingHead, build_heads
from .meta_arch import META_ARCH_REGISTRY, build_model

__all__ = [
    "BACKBONE_REGISTRY",
    "META_ARCH_REGISTRY",
    "REID_HEADS_REGISTRY",
    "EmbeddingHead",
    "build_backbone",
    "build_heads",
    "build_model",
    "build_resnet_backbone",
    "losses",
]
