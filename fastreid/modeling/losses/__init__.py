"""Losses: pure functions, and the registered classes that a config selects.

``triplet_loss``, ``cross_entropy_loss`` and ``focal_loss`` are the functions here; the files that hold them have the
same names.
"""

from __future__ import annotations

from .accuracy import log_accuracy
from .build import LOSS_REGISTRY, build_losses
from .circle_loss import CircleLoss, pairwise_circleloss
from .cosface_loss import Cosface, pairwise_cosface
from .cross_entropy_loss import CrossEntropyLoss, cross_entropy_loss
from .feature_distillation import FEATURE_DISTILLATION_REGISTRY
from .feature_memory import FeatureMemory
from .focal_loss import FocalLoss, focal_loss
from .js_divergence import js_divergence
from .overhaul import Overhaul
from .triplet_loss import TripletLoss, triplet_loss

__all__ = [
    "FEATURE_DISTILLATION_REGISTRY",
    "LOSS_REGISTRY",
    "CircleLoss",
    "Cosface",
    "CrossEntropyLoss",
    "FeatureMemory",
    "FocalLoss",
    "Overhaul",
    "TripletLoss",
    "build_losses",
    "cross_entropy_loss",
    "focal_loss",
    "js_divergence",
    "log_accuracy",
    "pairwise_circleloss",
    "pairwise_cosface",
    "triplet_loss",
]
