from __future__ import annotations

import json
import os
import re
from typing import Any, ClassVar

from ...utils import comm
from .bases import check_listed, image_names
from .build import DATASET_REGISTRY, dataset_root
from .cuhk03_mat import extract_images, extract_test_sets
from .declared import DeclaredDataset, Label

__all__ = ["CUHK03"]

_RELEASE = "cuhk03_release/cuhk-03.mat"
_TEST_SETS = "testsets.json"


@DATASET_REGISTRY.register()
class CUHK03(DeclaredDataset):
    """1467 people, each seen by the two cameras of one of five pairs.

    Boxes were drawn by hand (labeled) or found by a detector (detected). By the new protocol 767 people are trained on
    and 700 are tested. By the classic one 1367 are trained on and 100 tested, in 20 splits; all test images are queries
    and gallery, and ``TEST.PROTOCOL cuhk03`` draws the galleries.

    The images are in one file of MATLAB's version 7.3. They are written beside it as PNG files when they are first
    used, which needs ``h5py``; afterwards that file is not needed any more. Of the processes of a machine the first
    writes, while the others wait. A name reads ``{pair}_{person}_{view}_{number}.png``. ``DATASETS.OPTIONS.CUHK03``
    sets the options in a config.

    Source: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014; the new
    protocol is that of Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017,
    arXiv:1701.08398.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        split_id: which of the 20 classic splits, from 0.
        cuhk03_labeled: labeled boxes, not detected ones.
        cuhk03_classic_split: the classic protocol, not the new one.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        RuntimeError: if a file is missing (when built), or a split has no image (when it is used).
        ValueError: if there is no such split.
        FileNotFoundError: if images of the new protocol are not there (when its split is used).
        ImportError: if the images have to be written and h5py is not installed.
        OSError: if they cannot be.
    """

    dataset_name = "cuhk03"
    folder = "cuhk03"
    url = "http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html"
    licence = "research only, on request"
    hint = "The new protocol's .mat files are from https://github.com/zhunzhong07/person-re-ranking."
    pattern = re.compile(r"(?P<pair>\d+)_(?P<person>\d+)_(?P<cam>\d)_\d+\.png")
    # kind of boxes -> split -> (identities, images) of the new protocol
    published: ClassVar = {
        "labeled": {"train": (767, 7368), "query": (700, 1400), "gallery": (700, 5328)},
        "detected": {"train": (767, 7365), "query": (700, 1400), "gallery": (700, 5332)},
    }

    def __init__(
        self,
        root: str = "",
        split_id: int = 0,
        cuhk03_labeled: bool = True,
        cuhk03_classic_split: bool = False,
        **kwargs: Any,
    ) -> None:
        self.kind = "labeled" if cuhk03_labeled else "detected"
        self.classic = cuhk03_classic_split
        self.split_id = split_id
        self.statistics = {} if self.classic else self.published[self.kind]
        self._place = os.path.join(dataset_root(root), self.folder)
        try:
            if comm.get_local_rank() == 0:
                self._extract()
        finally:
            comm.synchronize()  # also after a failure: the others shall report it, not wait for ever
        super().__init__(root, **kwargs)

    @property
    def _images(self) -> str:
        return os.path.join(self._place, f"images_{self.kind}")

    @property
    def _config(self) -> str:
        return f"cuhk03_new_protocol_config_{self.kind}.mat"

    def _extract(self) -> None:
        """Write what the split needs of the released file and is not there yet."""
        release = os.path.join(self._place, *_RELEASE.split("/"))
        if not os.path.exists(release):
            return
        if not os.path.isdir(self._images):
            extract_images(release, self.kind, self._images)
        if self.classic and not os.path.exists(os.path.join(self._place, _TEST_SETS)):
            extract_test_sets(release, os.path.join(self._place, _TEST_SETS))

    def _has(self, split: str) -> bool:
        return True

    def _may_be_root(self) -> bool:
        return False  # the images are written into the folder of that name

    def _wanted(self) -> list[str]:
        there = [os.path.isdir(self._images), os.path.exists(os.path.join(self._place, _TEST_SETS))]
        wanted = [] if there[0] and (there[1] or not self.classic) else [_RELEASE]
        return wanted if self.classic else [*wanted, self._config]

    def _parse(self, split: str) -> list[tuple[str, Label, Label]]:
        return self._parse_classic(split) if self.classic else self._parse_new(split)

    def _parse_new(self, split: str) -> list[tuple[str, Label, Label]]:
        from scipy.io import loadmat

        path = os.path.join(self._place, self._config)
        config = loadmat(path)
        names = [str(name.item()) for name in config["filelist"].ravel()]
        pids = config["labels"].ravel()
        places = config[f"{split}_idx"].ravel().astype(int) - 1
        numbers = {pid: number for number, pid in enumerate(sorted({int(pids[place]) for place in places}))}
        items = []
        for place in places:
            pid = int(pids[place])
            items.append(self._item(names[place], numbers[pid] if split == "train" else pid))
        check_listed(path, [item[0] for item in items], folder=self._images)
        return items

    def _parse_classic(self, split: str) -> list[tuple[str, Label, Label]]:
        with open(os.path.join(self._place, _TEST_SETS), encoding="utf-8") as stream:
            test_sets = json.load(stream)
        if not 0 <= self.split_id < len(test_sets):
            raise ValueError(f"split_id must be 0 to {len(test_sets) - 1}, got {self.split_id}")
        tested = {tuple(person) for person in test_sets[self.split_id]}
        matches = [match for match in map(self.pattern.fullmatch, image_names(self._images)) if match]
        people = {match: (int(match["pair"]), int(match["person"])) for match in matches}
        mine = [match for match in matches if (people[match] in tested) != (split == "train")]
        numbers = {person: number for number, person in enumerate(sorted({people[match] for match in mine}))}
        return [self._item(match.string, numbers[people[match]]) for match in mine]

    def _item(self, name: str, pid: int) -> tuple[str, Label, Label]:
        match = self.pattern.fullmatch(name)
        if match is None:
            raise ValueError(f"{self._config}: {name!r} does not read like '1_001_1_01.png'; get it anew")
        return os.path.join(self._images, name), pid, int(match["cam"]) - self.first_camera

    def _empty_message(self, split: str) -> str:
        return f"{self._images} has no image of it; delete that folder, to have it written anew from {_RELEASE}"
