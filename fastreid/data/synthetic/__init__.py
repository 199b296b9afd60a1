"""SynthReID's painter: pedestrians drawn from attributes, seen by six cameras.

`Identity` says who somebody is and `Camera` who looks; `paint` draws the one for the other, and `write_benchmark`
writes a whole data set. The data set class is `fastreid.data.datasets.SynthReID`.
"""

from __future__ import annotations

from .camera import CAMERAS, Camera
from .identity import CHOICES, Identity, Wardrobe, sample_identities, sample_identity, sample_wardrobe
from .painter import HEIGHT, PAINTER_VERSION, WIDTH, paint
from .writer import Benchmark, ensure_benchmark, write_benchmark

__all__ = [
    "CAMERAS",
    "CHOICES",
    "HEIGHT",
    "PAINTER_VERSION",
    "WIDTH",
    "Benchmark",
    "Camera",
    "Identity",
    "Wardrobe",
    "ensure_benchmark",
    "paint",
    "sample_identities",
    "sample_identity",
    "sample_wardrobe",
    "write_benchmark",
]
