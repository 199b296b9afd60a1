from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PartialREID"]


@DATASET_REGISTRY.register()
class PartialREID(FileNameDataset):
    """60 people of whom a part is seen, to be found among whole images of them; for tests only.

    Of each there are five images of both kinds. No cameras are known: ``TEST.PROTOCOL cameraless``. Names read
    ``{pid}_{number}.jpg``. The archive's third folder, ``occluded_body_images``, is not used.

    Source: Zheng et al., "Partial Person Re-identification", ICCV 2015.
    """

    dataset_name = "partialreid"
    folder = "Partial_REID"
    url = "https://www.cv-foundation.org/openaccess/content_iccv_2015/html/Zheng_Partial_Person_Re-Identification_ICCV_2015_paper.html"
    licence = "published for research"
    splits = {"query": "partial_body_images", "gallery": "whole_body_images"}
    layouts = ({}, {"folder": "Partial-REID_Dataset"})
    pattern = re.compile(r"(?P<pid>\d+)_")
    example = "001_001.jpg"
    # split -> (identities, images)
    statistics = {"query": (60, 300), "gallery": (60, 300)}
