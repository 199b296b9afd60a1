"""The data sets, one file each; importing one registers it."""

from __future__ import annotations

from . import csv_file, image_folder, market_folder
from .bases import Dataset, FileNameDataset, ImageDataset
from .build import DATASET_REGISTRY, DATASET_SCHEME_REGISTRY, build_dataset, dataset_labels, dataset_root
from .dukemtmcreid import DukeMTMC
from .market1501 import Market1501
from .msmt17 import MSMT17
from .own import OwnDataset
from .synthreid import SynthReID
from .veri import VeRi

__all__ = [
    "DATASET_REGISTRY",
    "DATASET_SCHEME_REGISTRY",
    "MSMT17",
    "Dataset",
    "DukeMTMC",
    "FileNameDataset",
    "ImageDataset",
    "Market1501",
    "OwnDataset",
    "SynthReID",
    "VeRi",
    "build_dataset",
    "csv_file",
    "dataset_labels",
    "dataset_root",
    "image_folder",
    "market_folder",
]
