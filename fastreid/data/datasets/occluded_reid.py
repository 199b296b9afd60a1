from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["OccludedREID"]


@DATASET_REGISTRY.register()
class OccludedREID(FileNameDataset):
    """200 people behind something, to be found among whole images of them; for tests only.

    Of each there are five images of both kinds. No cameras are known: ``TEST.PROTOCOL cameraless``. In the archive of
    FastReID v1.3's PartialReID images lie in ``query`` and ``gallery``; the authors' has a folder for each person.
    Names begin with ``{pid}_``.

    Source: Zhuo et al., "Occluded Person Re-identification", ICME 2018, arXiv:1804.02792.
    """

    dataset_name = "occludedreid"
    folder = "OccludedREID"
    url = "https://github.com/tinajia2012/ICME2018_Occluded-Person-Reidentification_datasets"
    licence = "non-commercial purposes only"
    splits = {"query": "query", "gallery": "gallery"}
    layouts = (
        {},
        {
            "folder": "Occluded_REID",
            "splits": {"query": "occluded_body_images", "gallery": "whole_body_images"},
            "depth": 1,
            "example": "001_01.tif",
        },
    )
    pattern = re.compile(r"(?P<pid>\d+)_")
    example = "001_01.jpg"
    # split -> (identities, images)
    statistics = {"query": (200, 1000), "gallery": (200, 1000)}
