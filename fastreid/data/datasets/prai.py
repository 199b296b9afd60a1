from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PRAI"]


@DATASET_REGISTRY.register()
class PRAI(FileNameDataset):
    """1581 people seen from 2 drones; for training only.

    Names begin with ``{pid}_{camera}_``.

    Source: Zhang et al., "Person Re-Identification in Aerial Imagery", IEEE Transactions on Multimedia 2021,
    arXiv:1908.05024.
    """

    dataset_name = "prai"
    folder = "PRAI-1581"
    url = "https://github.com/stormyoung/PRAI-1581"
    licence = "research only, on request"
    splits = {"train": "images"}
    pattern = re.compile(r"(?P<pid>\d+)_(?P<cam>\d+)_")
    example = "00000003_0002_00000007.jpg"
    first_camera = 0
    statistics = {"train": (1581, 39461)}
