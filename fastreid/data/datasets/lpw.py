from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .declared import Label
from .file_names import FileNameDataset

__all__ = ["LPW"]


@DATASET_REGISTRY.register()
class LPW(FileNameDataset):
    """2731 people in three scenes; a cut of Labeled Pedestrian in the Wild, for training only.

    Each scene has a folder for each of its 3 or 4 cameras, with one for each person in it. People and cameras count
    anew in each scene: they are called ``{scene}-{number}``. The whole set lies in the same way, without the folder
    ``data_slim``.

    Source: Song et al., "Region-based Quality Estimation Network for Large-scale Person Re-identification", AAAI 2018,
    arXiv:1711.08766.
    """

    dataset_name = "lpw"
    folder = "pep_256x128/data_slim"
    url = "http://liuyu.us/dataset/lpw/index.html"
    licence = "published for research"
    splits = {"train": ("scen1", "scen2", "scen3")}
    layouts = ({}, {"folder": "pep_256x128"})
    depth = 2
    parts = 4
    pattern = re.compile(r"scen(?P<scene>\d)/(?P<cam>[^/]+)/(?P<pid>[^/]+)/")
    example = "scen1/view1/1/0.jpg"
    statistics = {"train": (2731, 30678)}

    def _labels(self, match: re.Match[str]) -> tuple[Label, Label]:
        return f"{match['scene']}-{match['pid']}", f"{match['scene']}-{match['cam']}"
