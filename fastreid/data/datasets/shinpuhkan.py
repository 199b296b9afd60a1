from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["Shinpuhkan"]


@DATASET_REGISTRY.register()
class Shinpuhkan(FileNameDataset):
    """24 people in a shopping centre, seen by 16 cameras; known as Shinpuhkan 2014, for training only.

    Names begin with ``{pid}_{sequence}_{camera}_``, in folders of any depth.

    Source: Kawanishi et al., "Shinpuhkan2014: A Multi-Camera Pedestrian Dataset for Tracking People across Multiple
    Cameras", FCV 2014.
    """

    dataset_name = "shinpuhkan"
    folder = "shinpuhkan"
    url = "http://www.mm.media.kyoto-u.ac.jp/en/datasets/shinpuhkan/"
    licence = "research only, on request"
    splits = {"train": "."}
    depth = None
    pattern = re.compile(r"(?P<pid>[^_]+)_[^_]+_(?P<cam>[^_.]+)")
    example = "001_01_04_0001.jpg"
    first_camera = 0
    statistics = {"train": (24, None)}
