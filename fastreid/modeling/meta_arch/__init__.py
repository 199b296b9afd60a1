"""Meta-architectures: how backbone, head and losses make a model."""

from __future__ import annotations

from .baseline import Baseline
from .build import META_ARCH_REGISTRY, build_model

__all__ = ["META_ARCH_REGISTRY", "Baseline", "build_model"]
