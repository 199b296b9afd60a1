from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["VIPeR"]


@DATASET_REGISTRY.register()
class VIPeR(FileNameDataset):
    """632 people, each seen once by each of 2 cameras; for training only.

    Each camera has a folder; names begin with ``{pid}_``.

    Source: Gray et al., "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking", PETS 2007.
    """

    dataset_name = "viper"
    folder = "VIPeR"
    url = "https://vision.soe.ucsc.edu/node/178"
    licence = "published for research"
    splits = {"train": ("cam_a", "cam_b")}
    parts = 2
    pattern = re.compile(r"(?P<cam>cam_[ab])/(?P<pid>\d+)_")
    example = "cam_a/000_45.bmp"
    statistics = {"train": (632, 1264)}
