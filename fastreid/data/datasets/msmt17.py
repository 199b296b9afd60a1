from __future__ import annotations

import functools
import re

from .build import DATASET_REGISTRY
from .declared import Label
from .listed import ListedDataset

__all__ = ["MSMT17"]


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
    folder = "MSMT17_V1"
    url = "https://www.pkuvmc.com/dataset.html"
    licence = "research only, on request"
    hint = "The list_*.txt files are in the same archive."
    splits = {"train": "train", "val": "train", "query": "test", "gallery": "test"}
    lists = {split: f"list_{split}.txt" for split in ("train", "val", "query", "gallery")}
    layouts = (
        {},
        {
            "folder": "MSMT17_V2",
            "splits": {
                "train": "mask_train_v2",
                "val": "mask_train_v2",
                "query": "mask_test_v2",
                "gallery": "mask_test_v2",
            },
        },
    )
    pattern = re.compile(r"(?P<image>(?:.*/)?\d+_\d+_(?P<cam>\d+)_[^/]*?) +(?P<pid>\d+)")
    example = "0000/0000_045_12_0303morning_0006_2.jpg 0"
    # split -> (identities, images); val has 2373 more of the same people, 32621 together
    statistics = {"train": (1041, 30248), "query": (3060, 11659), "gallery": (3060, 82161)}

    def combine_all(self) -> None:
        """Train on ``val``, and then on query and gallery too; see ``Dataset.combine_all``."""
        self._train = [*self.train, *self._list_split("val")]
        super().combine_all()

    @functools.cached_property
    def _num_train_pids(self) -> int:
        return len({pid for _, pid, _ in self._parse("train")})

    def _item(self, line: re.Match[str], split: str) -> tuple[str, Label, Label]:
        image, pid, camid = super()._item(line, split)
        return image, pid + (self._num_train_pids if split in ("query", "gallery") else 0), camid
