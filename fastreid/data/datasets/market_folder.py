"""``market:path``: one's own images in folders and with names like those of Market-1501."""

from __future__ import annotations

import os
import re
from typing import Any

from .build import DATASET_SCHEME_REGISTRY, find_path
from .file_names import FileNameDataset

__all__ = ["MarketFolder", "market"]


class MarketFolder(FileNameDataset):
    """Images in ``bounding_box_train``, ``query`` and ``bounding_box_test``, named ``{pid}_c{camera}...``.

    As in Market-1501, identity -1 is junk and dropped, and identity 0 are distractors in the gallery. Either of the
    folder of training and the two of the test may be missing.

    Args:
        path: relative to the current folder, or to the root.
        name: prefix of the training pids and camids.
        root: folder of all data sets.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        FileNotFoundError: if ``path`` is not there.
        RuntimeError: if folders are missing (when built), or hold no image (when used).
    """

    splits = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    pattern = re.compile(r"(?P<pid>-?\d+)_c(?P<cam>\d+)")
    first_camera = 0
    junk_pids = frozenset({-1})
    distractor_pids = frozenset({0})

    def __init__(self, path: str, *, name: str, root: str = "", **kwargs: Any) -> None:
        self.dataset_name = name
        place = find_path(path, root, kind="folder")
        there = {split for split, part in self.splits.items() if os.path.isdir(os.path.join(place, part))}
        if there == {"train"} or there == {"query", "gallery"}:
            self.splits = {split: part for split, part in self.splits.items() if split in there}
        super().__init__(place, **kwargs)

    @property
    def _title(self) -> str:
        return self.dataset_name

    def _find_folder(self) -> str:
        missing = [part for part in self._wanted() if not os.path.isdir(os.path.join(self.root, part))]
        if missing:
            raise RuntimeError(
                f"{os.path.abspath(self.root)} has no folder {', '.join(missing)}; market:... needs "
                "bounding_box_train to train on, or query and bounding_box_test to test on, or all three"
            )
        return self.root


@DATASET_SCHEME_REGISTRY.register()
def market(path: str, *, name: str, root: str = "", **options: Any) -> MarketFolder:
    """Read images in the layout of Market-1501; see ``MarketFolder``."""
    return MarketFolder(path, name=name, root=root, **options)


market.junk_pids, market.distractor_pids = MarketFolder.junk_pids, MarketFolder.distractor_pids
