"""Optimizers and learning-rate schedules from the config."""

from __future__ import annotations

from . import optim
from .build import OPTIMIZER_REGISTRY, build_lr_scheduler, build_optimizer
from .lr_scheduler import LR_SCHEDULER_REGISTRY

__all__ = ["LR_SCHEDULER_REGISTRY", "OPTIMIZER_REGISTRY", "build_lr_scheduler", "build_optimizer", "optim"]
