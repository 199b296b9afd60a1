from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["SenseReID"]


@DATASET_REGISTRY.register()
class SenseReID(FileNameDataset):
    """1718 people seen by 2 cameras, published for tests; here for training only, as in FastReID v1.3.

    Names read ``{pid}_{camera}.jpg``. The folder of probes is called ``test_prob`` or ``test_probe``.

    Source: Zhao et al., "Spindle Net: Person Re-identification with Human Body Region Guided Feature Decomposition and
    Fusion", CVPR 2017.
    """

    dataset_name = "senseid"
    folder = "SenseReID"
    url = "https://github.com/yokattame/SpindleNet"
    licence = "published for research"
    splits = {"train": ("test_gallery", "test_prob")}
    layouts = ({}, {"splits": {"train": ("test_gallery", "test_probe")}})
    pattern = re.compile(r"(?P<pid>\d+)_(?P<cam>\d+)")
    example = "00001_00.jpg"
    first_camera = 0
