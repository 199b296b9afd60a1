"""From the images on disk to the batches that a model takes."""

from __future__ import annotations

from . import datasets, samplers, transforms
from .build import build_reid_test_loader, build_reid_train_loader
from .common import CommDataset

__all__ = [
    "CommDataset",
    "build_reid_test_loader",
    "build_reid_train_loader",
    "datasets",
    "samplers",
    "transforms",
]
