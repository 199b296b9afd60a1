from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["SYSU_mm"]


@DATASET_REGISTRY.register()
class SYSU_mm(FileNameDataset):
    """People seen by the 4 cameras of SYSU-MM01 that see visible light; for training only.

    Each camera has a folder, with one for each person in it. Cameras 3 and 6 are infrared and left out.

    Source: Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017.
    """

    dataset_name = "sysumm01"
    folder = "SYSU-MM01"
    url = "https://github.com/wuancong/SYSU-MM01"
    licence = "research only, on request"
    splits = {"train": ("cam1", "cam2", "cam4", "cam5")}
    depth = 1
    parts = 3
    pattern = re.compile(r"(?P<cam>cam\d)/(?P<pid>\d+)/")
    example = "cam1/0001/0001.jpg"
    statistics = {"train": (None, 30071)}
