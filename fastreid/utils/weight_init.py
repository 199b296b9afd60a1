"""Old address of ``fastreid.layers.weight_init``."""

from __future__ import annotations

from ..layers.weight_init import weights_init_classifier, weights_init_kaiming

__all__ = ["weights_init_classifier", "weights_init_kaiming"]
