"""The data sets, one file each; importing one registers it."""

from __future__ import annotations

from . import csv_file, image_folder, market_folder
from .bases import Dataset, ImageDataset
from .build import DATASET_REGISTRY, DATASET_SCHEME_REGISTRY, build_dataset, dataset_labels, dataset_root
from .declared import DeclaredDataset
from .dukemtmcreid import DukeMTMC
from .file_names import FileNameDataset
from .listed import ListedDataset
from .market1501 import Market1501
from .msmt17 import MSMT17
from .own import OwnDataset
from .synthreid import SynthReID
from .vehicleid import LargeVehicleID, MediumVehicleID, SmallVehicleID, VehicleID
from .veri import VeRi
from .veriwild import LargeVeRiWild, MediumVeRiWild, SmallVeRiWild, VeRiWild

__all__ = [
    "DATASET_REGISTRY",
    "DATASET_SCHEME_REGISTRY",
    "Dataset",
    "DeclaredDataset",
    "DukeMTMC",
    "FileNameDataset",
    "ImageDataset",
    "LargeVeRiWild",
    "LargeVehicleID",
    "ListedDataset",
    "MSMT17",
    "Market1501",
    "MediumVeRiWild",
    "MediumVehicleID",
    "OwnDataset",
    "SmallVeRiWild",
    "SmallVehicleID",
    "SynthReID",
    "VeRi",
    "VeRiWild",
    "VehicleID",
    "build_dataset",
    "csv_file",
    "dataset_labels",
    "dataset_root",
    "image_folder",
    "market_folder",
]
