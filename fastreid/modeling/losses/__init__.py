"""Losses: pure functions, and the registered classes that a config selects.

``triplet_loss`` and ``cross_entropy_loss`` are the functions here; the files that hold them have the same names.
"""

from __future__ import annotations

from .accuracy import log_accuracy
from .build import LOSS_REGISTRY, build_losses
from .cross_entropy_loss import CrossEntropyLoss, cross_entropy_loss
from .triplet_loss import TripletLoss, triplet_loss

__all__ = [
    "LOSS_REGISTRY",
    "CrossEntropyLoss",
    "TripletLoss",
    "build_losses",
    "cross_entropy_loss",
    "log_accuracy",
    "triplet_loss",
]
