from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PeS3D"]


@DATASET_REGISTRY.register()
class PeS3D(FileNameDataset):
    """192 people on a campus, known as 3DPeS; which of its 8 cameras saw them is not told; for training only.

    Each has a folder.

    Source: Baltieri et al., "3DPeS: 3D People Dataset for Surveillance and Forensics", ACM Multimedia 2011 workshops.
    """

    dataset_name = "pes3d"
    folder = "3DPeS"
    url = "http://www.openvisor.org/3dpes.asp"
    licence = "published for research"
    splits = {"train": "."}
    depth = 1
    parts = 2
    pattern = re.compile(r"(?P<pid>[^/]+)/")
    example = "001/1.bmp"
    statistics = {"train": (192, 1011)}
