"""Optimizers that torch lacks, and the old address of one that it has by now."""

from __future__ import annotations

from torch.optim import RAdam

from .lamb import Lamb

__all__ = ["Lamb", "RAdam"]
