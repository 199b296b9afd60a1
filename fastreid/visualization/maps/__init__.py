"""Activation maps: where an embedding looks."""

from __future__ import annotations

from .activation import ACTIVATION_REGISTRY, activation_maps, attention_rollout, channel_energy
from .grad_cam import pair_grad_cam
from .overlay import overlay

__all__ = [
    "ACTIVATION_REGISTRY",
    "activation_maps",
    "attention_rollout",
    "channel_energy",
    "overlay",
    "pair_grad_cam",
]
