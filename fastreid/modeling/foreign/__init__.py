"""Weights of other people: the names that their networks give to tensors, and what we call them."""

from __future__ import annotations

from .adopt import adopt_into_backbone, adopt_into_model
from .backbone_alone import BackboneAlone
from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation, recognise
from .clip import CLIP, CLIPReID
from .dino import DINO
from .swin import SOLIDER, TorchvisionSwin
from .torchvision_vit import TorchvisionViT
from .transreid import TransReID

__all__ = [
    "CLIP",
    "DINO",
    "FOREIGN_WEIGHTS_REGISTRY",
    "SOLIDER",
    "BackboneAlone",
    "CLIPReID",
    "ForeignWeights",
    "TorchvisionSwin",
    "TorchvisionViT",
    "TransReID",
    "Translation",
    "adopt_into_backbone",
    "adopt_into_model",
    "recognise",
]
