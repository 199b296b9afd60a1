from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["GRID"]


@DATASET_REGISTRY.register()
class GRID(FileNameDataset):
    """250 people in an underground station, seen by pairs of 8 cameras; for training only.

    Names begin with ``{pid}_{camera}_``. Identity 0 stands for 775 others with one image each, who are left out. The
    images may lie in one folder, or in those of the archive.

    Source: Loy et al., "Time-Delayed Correlation Analysis for Multi-Camera Activity Understanding", IJCV 2010.
    """

    dataset_name = "grid"
    folder = "underground_reid"
    url = "http://personal.ie.cuhk.edu.hk/~ccloy/downloads_qmul_underground_reid.html"
    licence = "published for research"
    splits = {"train": "images"}
    layouts = ({}, {"splits": {"train": ("probe", "gallery")}})
    pattern = re.compile(r"(?P<pid>\d+)_(?P<cam>\d+)_")
    example = "0001_1_25004_107_32_106_221.jpeg"
    first_camera = 0
    junk_pids = frozenset({0})
    # with those who are left out, 1275 images
    statistics = {"train": (250, 500)}
