from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["cuhkSYSU"]


@DATASET_REGISTRY.register()
class cuhkSYSU(FileNameDataset):
    """11934 people, cut out of the scenes of CUHK-SYSU; no cameras are known; for training only.

    Names read ``p{pid}_s{scene}_{number}.jpg``.

    Source: Xiao et al., "Joint Detection and Identification Feature Learning for Person Search", CVPR 2017,
    arXiv:1604.01850.
    """

    dataset_name = "cuhksysu"
    folder = "cuhk_sysu"
    url = "http://www.ee.cuhk.edu.hk/~xgwang/PS/dataset.html"
    licence = "research only, on request"
    splits = {"train": "cropped_images"}
    pattern = re.compile(r"p(?P<pid>\d+)_s\d+")
    example = "p11422_s16929_1.jpg"
    statistics = {"train": (11934, 34574)}
