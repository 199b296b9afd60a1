"""Old address; the loop and the trainers are a file each."""

from __future__ import annotations

from .amp_trainer import AMPTrainer
from .loop import HookBase, TrainerBase
from .simple_trainer import SimpleTrainer

__all__ = ["AMPTrainer", "HookBase", "SimpleTrainer", "TrainerBase"]
