from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PKU"]


@DATASET_REGISTRY.register()
class PKU(FileNameDataset):
    """114 people in eight orientations, seen by 2 cameras; known as PKU-Reid, for training only.

    Names begin with ``{pid}_{camera}``.

    Source: Ma et al., "Orientation Driven Bag of Appearances for Person Re-identification", arXiv:1605.02464.
    """

    dataset_name = "pku"
    folder = "PKUv1a_128x48"
    url = "https://github.com/charliememory/PKU-Reid-Dataset"
    licence = "published for research"
    splits = {"train": "."}
    pattern = re.compile(r"(?P<pid>\d+)_(?P<cam>\d+)")
    example = "001_01_01.png"
    first_camera = 0
    statistics = {"train": (114, 1824)}
