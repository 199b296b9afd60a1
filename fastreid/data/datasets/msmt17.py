from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from .bases import Item
from .build import DATASET_REGISTRY, dataset_root
from .listed import ListedDataset

__all__ = ["MSMT17"]

logger = logging.getLogger(__name__)


@DATASET_REGISTRY.register()
class MSMT17(ListedDataset):
    """4101 people seen by 15 cameras, indoors and outdoors; version 1, or version 2 with faces made unrecognisable.

    Text files list the images of a split and their identities, a line each: ``0000/0000_045_12_0303morning_0006_2.jpg
    0``; the third number of a name is the camera. Identities of the test are counted from 0 again, and are moved behind
    those of training. The validation images show people of training; they are trained on only with ``combineall``.
    Where there are both versions, version 1 is taken.

    Source: Wei et al., "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018,
    arXiv:1711.08565.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        RuntimeError, ValueError, FileNotFoundError: see ``ListedDataset``.
    """

    dataset_name = "msmt17"
    url = "https://www.pkuvmc.com/dataset.html (the list_*.txt files are in the same archive)"
    pattern = re.compile(r"(?P<image>(?:.*/)?\d+_\d+_(?P<cam>\d+)_[^/]*?) +(?P<pid>\d+)")
    example = "0000/0000_045_12_0303morning_0006_2.jpg 0"
    # folder -> folders of the images that it is told by
    versions = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}
    lists = {split: f"list_{split}.txt" for split in ("train", "val", "query", "gallery")}
    # split -> (identities, images); val has 2373 more of the same people, 32621 together
    statistics = {"train": (1041, 30248), "query": (3060, 11659), "gallery": (3060, 82161)}

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        place = dataset_root(root)
        there = [folder for folder in self.versions if os.path.isdir(os.path.join(place, folder))]
        whole = [
            folder
            for folder in there
            if all(os.path.exists(os.path.join(place, folder, part)) for part in self._parts(folder))
        ]
        self.folder = (whole or there or list(self.versions))[0]
        train, test = self.versions[self.folder]
        self.splits = {"train": train, "val": train, "query": test, "gallery": test}
        super().__init__(root, **kwargs)
        logger.info("MSMT17: taking %s, in %s", self.folder, self.dataset_dir)

    def _parts(self, folder: str) -> list[str]:
        return [*self.versions[folder], *self.lists.values()]

    def combine_all(self) -> None:
        """Train on ``val``, and then on query and gallery too; see ``Dataset.combine_all``."""
        self._train = [*self.train, *self._list_split("val")]
        super().combine_all()

    @functools.cached_property
    def _num_train_pids(self) -> int:
        return self.get_num_pids(self._parse_names("train"))

    def _missing_message(self, wanted: list[str], missing: Mapping[str, list[str]]) -> str:
        text = super()._missing_message(wanted, missing)
        return (
            f"{text}\nVersion 2 is found as MSMT17_V2/ with {', '.join(self.versions['MSMT17_V2'])} and the same lists."
        )

    def _item(self, line: re.Match[str], split: str) -> Item:
        image = os.path.join(self.dataset_dir, *self._folders(split), *line["image"].split("/"))
        first = self._num_train_pids if split in ("query", "gallery") else 0
        return image, first + int(line["pid"]), int(line["cam"]) - self.first_camera
