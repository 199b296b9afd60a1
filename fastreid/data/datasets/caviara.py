from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["CAVIARa"]


@DATASET_REGISTRY.register()
class CAVIARa(FileNameDataset):
    """72 people in a shopping centre, known as CAVIAR4REID; cameras are not told; for training only.

    The first four characters of a name are the identity.

    Source: Cheng et al., "Custom Pictorial Structures for Re-identification", BMVC 2011.
    """

    dataset_name = "caviara"
    folder = "CAVIARa"
    url = "http://www.lorisbazzani.info/caviar4reid.html"
    licence = "published for research"
    splits = {"train": "."}
    pattern = re.compile(r"(?P<pid>\d{4})")
    example = "0001001.jpg"
    statistics = {"train": (72, 1220)}
