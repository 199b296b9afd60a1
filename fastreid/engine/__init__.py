"""The training loop, its hooks, and the trainer that a config builds."""

from __future__ import annotations

from . import hooks
from .defaults import DefaultPredictor, DefaultTrainer, default_argument_parser, default_setup
from .launch import launch
from .setup import load_config
from .train_loop import AMPTrainer, HookBase, SimpleTrainer, TrainerBase

__all__ = [
    "AMPTrainer",
    "DefaultPredictor",
    "DefaultTrainer",
    "HookBase",
    "SimpleTrainer",
    "TrainerBase",
    "default_argument_parser",
    "default_setup",
    "hooks",
    "launch",
    "load_config",
]
