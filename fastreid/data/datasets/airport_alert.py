from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .listed import ListedDataset

__all__ = ["AirportALERT"]


@DATASET_REGISTRY.register()
class AirportALERT(ListedDataset):
    r"""People seen by 6 cameras of an airport; for training only.

    ``filepath.txt`` lists the images, a line each: ``cam1\11001\0001.jpg``, camera, identity and image, with
    backslashes or slashes. Identities below 11001 are left out, as FastReID v1.3 did; their images need not be there.

    Source: Karanam et al., "A Systematic Evaluation and Benchmark for Person Re-Identification: Features, Metrics, and
    Datasets", TPAMI 2019, arXiv:1605.09653.
    """

    dataset_name = "airport"
    folder = "AirportALERT"
    url = "http://www.northeastern.edu/alert/transitioning-technology/alert-datasets/alert-airport-re-identification-dataset/"
    licence = "research only, on request"
    lists = {"train": "filepath.txt"}
    pattern = re.compile(r"(?P<image>(?P<cam>[^\\/]+)[\\/](?P<pid>\d+)[\\/].+)")
    example = r"cam1\11001\0001.jpg"
    first_camera = 0
    junk_pids = frozenset(range(11001))
    # the whole set has 9651 identities; those that are left have 30243 images
    statistics = {"train": (None, 30243)}
