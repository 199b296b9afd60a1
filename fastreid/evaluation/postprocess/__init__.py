"""What ``TEST.POSTPROCESS`` may name: what is done to the features of a test set before, or while, they are ranked."""

from __future__ import annotations

from .build import POSTPROCESS_REGISTRY, Postprocess, Retrieval, build_postprocess, postprocess_names
from .camera_norm import CameraNorm, normalize_cameras
from .expansion import AQE, DBA
from .rerank import Rerank

__all__ = [
    "AQE",
    "DBA",
    "POSTPROCESS_REGISTRY",
    "CameraNorm",
    "Postprocess",
    "Rerank",
    "Retrieval",
    "build_postprocess",
    "normalize_cameras",
    "postprocess_names",
]
