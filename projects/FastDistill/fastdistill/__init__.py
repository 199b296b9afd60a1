"""Distillation of logits and feature maps, under FastReID v1.3's names."""

from __future__ import annotations

from .distiller_overhaul import DistillerOverhaul
from .resnet_distill import build_resnet_backbone_distill

__all__ = ["DistillerOverhaul", "build_resnet_backbone_distill"]
