"""Heads: from a feature map to an embedding and class logits."""

from __future__ import annotations

from .build import REID_HEADS_REGISTRY, build_heads
from .clas_head import ClasHead
from .embedding_head import EmbeddingHead
from .jigsaw_patch_head import JigsawPatchHead

__all__ = ["REID_HEADS_REGISTRY", "ClasHead", "EmbeddingHead", "JigsawPatchHead", "build_heads"]
