from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["VeRi"]


@DATASET_REGISTRY.register()
class VeRi(FileNameDataset):
    """776 vehicles seen by 20 cameras; the data set known as VeRi-776.

    Names read ``{pid}_c{camera, three digits}_{time}_{number}.jpg``.

    Source: Liu et al., "A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
    Surveillance", ECCV 2016.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.
    """

    dataset_name = "veri"
    folder = "veri"
    url = "https://github.com/JDAI-CV/VeRidataset"
    licence = "research only, on request"
    splits = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
    pattern = re.compile(r"(?P<pid>\d+)_c(?P<cam>\d{3})")
    example = "0002_c002_00030600_0.jpg"
    # split -> (identities, images)
    statistics = {"train": (576, 37778), "query": (200, 1678), "gallery": (200, 11579)}
