from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["OccludedDuke"]


@DATASET_REGISTRY.register()
class OccludedDuke(FileNameDataset):
    """DukeMTMC-reID split anew, so that something hides a part of each query; known as Occluded-DukeMTMC.

    The authors gave out lists, and a script that makes these folders of DukeMTMC-reID. Names are those of ``DukeMTMC``.

    Source: Miao et al., "Pose-Guided Feature Alignment for Occluded Person Re-Identification", ICCV 2019.
    """

    dataset_name = "occludedduke"
    folder = "Occluded_Duke"
    url = "https://github.com/lightas/Occluded-DukeMTMC-Dataset"
    licence = "lists only: DukeMTMC, whose images it takes, was withdrawn in 2019"
    splits = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    pattern = re.compile(r"(?P<pid>-?\d+)_c(?P<cam>\d)")
    example = "0001_c2_f0046302.jpg"
    # split -> (identities, images)
    statistics = {"train": (702, 15618), "query": (519, 2210), "gallery": (1110, 17661)}
