from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PRID"]


@DATASET_REGISTRY.register()
class PRID(FileNameDataset):
    """People of PRID 2011 seen by 2 cameras, a cut of it; for training only.

    Each has a folder ``person_{pid}``, at any depth; the name of an image begins with its camera and ``_``.

    Source: Hirzer et al., "Person Re-Identification by Descriptive and Discriminative Classification", SCIA 2011.
    """

    dataset_name = "prid"
    folder = "prid_2011"
    url = "https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/PRID11/"
    licence = "published for research"
    splits = {"train": "slim_train"}
    depth = None
    parts = 2
    pattern = re.compile(r"[^/_]*_(?P<pid>\d+)[^/]*/(?P<cam>[^_/.]+)")
    example = "person_0001/a_0001.png"
    first_camera = 0
