"""The data sets, one file each; importing one registers it."""

from __future__ import annotations

from . import csv_file, image_folder, market_folder
from .airport_alert import AirportALERT
from .bases import Dataset, ImageDataset
from .build import (
    DATASET_REGISTRY,
    DATASET_SCHEME_REGISTRY,
    build_dataset,
    dataset_labels,
    dataset_root,
    pids_of_nobody,
)
from .cars196 import Cars196
from .caviara import CAVIARa
from .cub import CUB
from .cuhk03 import CUHK03
from .cuhk_sysu import cuhkSYSU
from .declared import DeclaredDataset
from .dukemtmcreid import DukeMTMC
from .file_names import FileNameDataset
from .grid import GRID
from .ilids import iLIDS
from .inshop import InShop
from .listed import ListedDataset
from .lpw import LPW
from .market1501 import Market1501
from .msmt17 import MSMT17
from .occluded_duke import OccludedDuke
from .occluded_reid import OccludedREID
from .own import OwnDataset
from .partial_ilids import PartialiLIDS
from .partial_reid import PartialREID
from .pes3d import PeS3D
from .pku import PKU
from .prai import PRAI
from .prid import PRID
from .saivt import SAIVT
from .sensereid import SenseReID
from .shinpuhkan import Shinpuhkan
from .sop import SOP
from .synth_variants import SynthCityA, SynthCityB, SynthNight, SynthOccluded, SynthPartial, SynthVehicle
from .synthreid import SynthReID
from .sysu_mm import SYSU_mm
from .thermalworld import Thermalworld
from .vehicleid import LargeVehicleID, MediumVehicleID, SmallVehicleID, VehicleID
from .veri import VeRi
from .veriwild import LargeVeRiWild, MediumVeRiWild, SmallVeRiWild, VeRiWild
from .viper import VIPeR
from .wildlife import Wildlife
from .wildtrack import WildTrackCrop

__all__ = [
    "AirportALERT",
    "CAVIARa",
    "CUB",
    "CUHK03",
    "Cars196",
    "DATASET_REGISTRY",
    "DATASET_SCHEME_REGISTRY",
    "Dataset",
    "DeclaredDataset",
    "DukeMTMC",
    "FileNameDataset",
    "GRID",
    "ImageDataset",
    "InShop",
    "LPW",
    "LargeVeRiWild",
    "LargeVehicleID",
    "ListedDataset",
    "MSMT17",
    "Market1501",
    "MediumVeRiWild",
    "MediumVehicleID",
    "OccludedDuke",
    "OccludedREID",
    "OwnDataset",
    "PKU",
    "PRAI",
    "PRID",
    "PartialREID",
    "PartialiLIDS",
    "PeS3D",
    "SAIVT",
    "SOP",
    "SYSU_mm",
    "SenseReID",
    "Shinpuhkan",
    "SmallVeRiWild",
    "SmallVehicleID",
    "SynthCityA",
    "SynthCityB",
    "SynthNight",
    "SynthOccluded",
    "SynthPartial",
    "SynthReID",
    "SynthVehicle",
    "Thermalworld",
    "VIPeR",
    "VeRi",
    "VeRiWild",
    "VehicleID",
    "WildTrackCrop",
    "Wildlife",
    "build_dataset",
    "csv_file",
    "cuhkSYSU",
    "dataset_labels",
    "dataset_root",
    "iLIDS",
    "image_folder",
    "market_folder",
    "pids_of_nobody",
]
