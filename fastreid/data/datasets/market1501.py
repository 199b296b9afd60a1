from __future__ import annotations

import re
from typing import Any

from .build import DATASET_REGISTRY
from .file_names import FileNameDataset

__all__ = ["Market1501"]


@DATASET_REGISTRY.register()
class Market1501(FileNameDataset):
    """1501 people seen by 6 cameras.

    Names read ``{pid}_c{camera}s{sequence}_{frame}_{box}.jpg``. Identity -1 marks junk boxes, which are dropped;
    identity 0 marks distractors, which stay in the gallery.

    Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        market1501_500k: add the 500,000 distractors of ``images/`` to the gallery.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.
    """

    dataset_name = "market1501"
    folder = "Market-1501-v15.09.15"
    url = "http://www.liangzheng.org/Project/project_reid.html"
    licence = "published for research"
    splits = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    pattern = re.compile(r"(?P<pid>-?\d+)_c(?P<cam>\d)")
    example = "0002_c1s1_000451_03.jpg"
    junk_pids = frozenset({-1})
    distractor_pids = frozenset({0})
    # split -> (identities, images); the gallery's identities are 750 people and the distractors
    statistics = {"train": (751, 12936), "query": (750, 3368), "gallery": (751, 15913)}

    def __init__(self, root: str = "", market1501_500k: bool = False, **kwargs: Any) -> None:
        self.market1501_500k = market1501_500k
        if market1501_500k:
            self.splits = {**self.splits, "gallery": ("bounding_box_test", "images")}
            self.statistics = {split: self.statistics[split] for split in ("train", "query")}
        super().__init__(root, **kwargs)
