"""Old address of ``fastreid.layers.precise_bn``."""

from __future__ import annotations

from ..layers.precise_bn import get_bn_modules, update_bn_stats

__all__ = ["get_bn_modules", "update_bn_stats"]
