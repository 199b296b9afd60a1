"""The data sets, one file each; importing one registers it."""

from __future__ import annotations

from .bases import Dataset, FileNameDataset, ImageDataset
from .build import DATASET_REGISTRY, dataset_root
from .market1501 import Market1501
from .synthreid import SynthReID

__all__ = [
    "DATASET_REGISTRY",
    "Dataset",
    "FileNameDataset",
    "ImageDataset",
    "Market1501",
    "SynthReID",
    "dataset_root",
]
