from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["Thermalworld"]


@DATASET_REGISTRY.register()
class Thermalworld(FileNameDataset):
    """409 people, the colour images of ThermalWorld; no cameras are known; for training only.

    Each has a folder.

    Source: Kniaz et al., "ThermalGAN: Multimodal Color-to-Thermal Image Translation for Person Re-Identification in
    Multispectral Dataset", ECCV 2018 workshops.
    """

    dataset_name = "thermalworld"
    folder = "thermalworld_rgb"
    url = "https://github.com/vlkniaz/ThermalGAN"
    licence = "published for research"
    splits = {"train": "."}
    depth = 1
    parts = 2
    pattern = re.compile(r"(?P<pid>[^/]+)/")
    example = "001/0001.jpg"
    statistics = {"train": (409, 8103)}
