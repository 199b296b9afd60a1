from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["PartialiLIDS"]


@DATASET_REGISTRY.register()
class PartialiLIDS(FileNameDataset):
    """119 people in an airport, an image each that shows a part of them, and a whole one; for tests only.

    No cameras are known: ``TEST.PROTOCOL cameraless``. A name begins with the identity. The folders are those of
    FastReID v1.3's PartialReID, or ``Probe`` and ``Gallery``.

    Source: He et al., "Deep Spatial Feature Reconstruction for Partial Person Re-identification: Alignment-Free
    Approach", CVPR 2018, arXiv:1801.00881.
    """

    dataset_name = "partialilids"
    folder = "PartialiLIDS"
    url = "https://arxiv.org/abs/1801.00881"
    licence = "published for research"
    splits = {"query": "query", "gallery": "gallery"}
    layouts = ({}, {"folder": "Partial_iLIDS", "splits": {"query": "Probe", "gallery": "Gallery"}})
    pattern = re.compile(r"(?P<pid>\d+)")
    example = "001.jpg"
    # split -> (identities, images)
    statistics = {"query": (119, 119), "gallery": (119, 119)}
