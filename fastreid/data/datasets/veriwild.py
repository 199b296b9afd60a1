from __future__ import annotations

import functools
import os
import re

from .build import DATASET_REGISTRY
from .declared import Label
from .listed import ListedDataset

__all__ = ["LargeVeRiWild", "MediumVeRiWild", "SmallVeRiWild", "VeRiWild"]


def _lists(vehicles: int) -> dict[str, str]:
    return {
        "train": "train_test_split/train_list.txt",
        "query": f"train_test_split/test_{vehicles}_query.txt",
        "gallery": f"train_test_split/test_{vehicles}.txt",
    }


@DATASET_REGISTRY.register()
class VeRiWild(ListedDataset):
    """40671 vehicles seen by 174 cameras within a month; tested on 10000 of them.

    Text files list the images of training and of each test, a line each: ``00001/000001.jpg``, the vehicle and the
    image. ``vehicle_info.txt`` tells their cameras: ``00001/000001;65;2018-03-11 ...``.

    Source: Lou et al., "VERI-Wild: A Large Dataset and a New Method for Vehicle Re-Identification in the Wild", CVPR
    2019.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        RuntimeError, ValueError, FileNotFoundError: see ``ListedDataset``; ``ValueError`` also if ``vehicle_info.txt``
            does not tell the camera of an image that is listed.
    """

    dataset_name = "veriwild"
    folder = "VERI-Wild"
    url = "https://github.com/PKU-IMRE/VERI-Wild"
    licence = "published for research"
    splits = {"train": "images", "query": "images", "gallery": "images"}
    pattern = re.compile(r"(?P<pid>\d+)/(?P<image>\d+)(\.jpg)?")
    example = "00001/000001.jpg"
    first_camera = 0
    lists = _lists(10000)
    more_files = ("train_test_split/vehicle_info.txt",)
    # split -> (identities, images)
    statistics = {"train": (30671, 277797), "query": (10000, 10000), "gallery": (10000, 128517)}

    def _item(self, line: re.Match[str], split: str) -> tuple[str, Label, Label]:
        pid, image = line["pid"], line["image"]
        camera = self._cameras.get(f"{pid}/{image}")
        if camera is None:
            raise ValueError(
                f"{os.path.join(self.dataset_dir, *self.more_files)} does not tell the camera of {pid}/{image}, which "
                f"{self._list_path(split)} lists; get both anew from {self.url}"
            )
        return os.path.join(self._images(split), pid, f"{image}.jpg"), int(pid), camera

    @functools.cached_property
    def _cameras(self) -> dict[str, int]:
        """Camera by vehicle and image, ``00001/000001``."""
        path = os.path.join(self.dataset_dir, *self.more_files)
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            fields = (line.strip().split(";", maxsplit=2) for line in lines)
            return {line[0]: int(line[1]) for line in fields if len(line) > 1 and line[1].isdecimal()}


@DATASET_REGISTRY.register()
class SmallVeRiWild(VeRiWild):
    """VERI-Wild, tested on 3000 vehicles."""

    lists = _lists(3000)
    statistics = {**VeRiWild.statistics, "query": (3000, 3000), "gallery": (3000, 38861)}


@DATASET_REGISTRY.register()
class MediumVeRiWild(VeRiWild):
    """VERI-Wild, tested on 5000 vehicles."""

    lists = _lists(5000)
    statistics = {**VeRiWild.statistics, "query": (5000, 5000), "gallery": (5000, 64389)}


@DATASET_REGISTRY.register()
class LargeVeRiWild(VeRiWild):
    """VERI-Wild, tested on 10000 vehicles; the same as ``VeRiWild``."""
