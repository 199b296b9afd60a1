from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["iLIDS"]


@DATASET_REGISTRY.register()
class iLIDS(FileNameDataset):
    """300 people in an airport, seen by 2 cameras; a cut of iLIDS-VID, for training only.

    Each has a folder; the name of an image begins with its camera and ``_``.

    Source: Wang et al., "Person Re-Identification by Video Ranking", ECCV 2014.
    """

    dataset_name = "ilids"
    folder = "iLIDS"
    url = "http://www.eecs.qmul.ac.uk/~xiatian/downloads_qmul_iLIDS-VID_ReID_dataset.html"
    licence = "published for research"
    splits = {"train": "."}
    depth = 1
    parts = 2
    pattern = re.compile(r"(?P<pid>[^/]+)/(?P<cam>[^_/]+)_")
    example = "person001/cam1_person001_00317.png"
    first_camera = 0
    statistics = {"train": (300, 4515)}
