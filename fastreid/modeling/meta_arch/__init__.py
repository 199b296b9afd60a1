"""Meta-architectures: how backbone, head and losses make a model."""

from __future__ import annotations

from .baseline import Baseline
from .build import META_ARCH_REGISTRY, build_model
from .distiller import Distiller
from .mgn import MGN
from .moco import MoCo

__all__ = ["META_ARCH_REGISTRY", "MGN", "Baseline", "Distiller", "MoCo", "build_model"]
