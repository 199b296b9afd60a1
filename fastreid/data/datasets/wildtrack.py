from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["WildTrackCrop"]


@DATASET_REGISTRY.register()
class WildTrackCrop(FileNameDataset):
    """313 people on a square, seen by 7 cameras: crops of the frames of WILDTRACK; for training only.

    Each has a folder; the name of an image begins with its camera and ``_``.

    Source: Chavdarova et al., "WILDTRACK: A Multi-camera HD Dataset for Dense Unscripted Pedestrian Detection", CVPR
    2018.
    """

    dataset_name = "wildtrack"
    folder = "Wildtrack_crop_dataset"
    url = "https://www.epfl.ch/labs/cvlab/data/data-wildtrack/"
    licence = "published for research"
    splits = {"train": "crop"}
    depth = 1
    parts = 2
    pattern = re.compile(r"(?P<pid>[^/]+)/(?P<cam>[^_/]+)_")
    example = "1/02_00000135.png"
    first_camera = 0
    statistics = {"train": (313, 33979)}
