from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["SAIVT"]


@DATASET_REGISTRY.register()
class SAIVT(FileNameDataset):
    """152 people in a building, seen by 8 cameras; a cut of SAIVT-SoftBio, for training only.

    Each has a folder; the third field of an image's name, between hyphens, is its camera.

    Source: Bialkowski et al., "A Database for Person Re-Identification in Multi-Camera Surveillance Networks", DICTA
    2012.
    """

    dataset_name = "saivt"
    folder = "SAIVT-SoftBio"
    url = "https://researchdatafinder.qut.edu.au/display/n27416"
    licence = "published for research, on request"
    splits = {"train": "cropped_images"}
    depth = 1
    parts = 2
    pattern = re.compile(r"(?P<pid>[^/]+)/[^-/]*-[^-/]*-(?P<cam>[^-./]+)")
    example = "001/001-0001-c3-01.jpeg"
    first_camera = 0
    statistics = {"train": (152, 7150)}
