"""The data sets, one file each; importing one registers it."""

from __future__ import annotations

from .bases import Dataset, FileNameDataset, ImageDataset
from .build import DATASET_REGISTRY, dataset_root
from .dukemtmcreid import DukeMTMC
from .market1501 import Market1501
from .msmt17 import MSMT17
from .synthreid import SynthReID
from .veri import VeRi

__all__ = [
    "DATASET_REGISTRY",
    "MSMT17",
    "Dataset",
    "DukeMTMC",
    "FileNameDataset",
    "ImageDataset",
    "Market1501",
    "SynthReID",
    "VeRi",
    "dataset_root",
]
