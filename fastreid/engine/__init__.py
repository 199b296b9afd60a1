"""The training loop, its hooks, and the trainer that a config builds."""

from __future__ import annotations

from . import hooks
from .amp_trainer import AMPTrainer
from .defaults import DefaultPredictor, DefaultTrainer, default_argument_parser, default_setup
from .embedder import Embedder
from .launch import launch
from .loop import HookBase, TrainerBase
from .setup import load_config
from .simple_trainer import SimpleTrainer

__all__ = [
    "AMPTrainer",
    "DefaultPredictor",
    "DefaultTrainer",
    "Embedder",
    "HookBase",
    "SimpleTrainer",
    "TrainerBase",
    "default_argument_parser",
    "default_setup",
    "hooks",
    "launch",
    "load_config",
]
