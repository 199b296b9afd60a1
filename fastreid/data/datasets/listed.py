from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

from .bases import Items, check_listed
from .declared import DeclaredDataset, Label

__all__ = ["PATHS_AND_LABELS", "PATH_AND_LABEL", "ListedDataset"]

PATH_AND_LABEL = re.compile(r"(?P<image>.+?)\s*,\s*(?P<pid>\d+)")
"""A line ``path,label``."""

PATHS_AND_LABELS: Mapping[str, Any] = {
    "lists": {"train": "train.txt", "query": "test.txt"},
    "splits": {},
    "more_files": (),
    "header": 0,
    "pattern": PATH_AND_LABEL,
    "example": "images/0001.jpg,1",
    "training_pids": None,
}
"""A layout of lists with lines ``path,label``."""


class ListedDataset(DeclaredDataset):
    r"""A data set whose images are listed in text files, a line each; a subclass only declares how a line reads.

    Lists are read when a split is first used, and the images in them must be there.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        lists: split -> its list inside ``folder``.
        splits: split -> the folder inside ``folder`` that its images are relative to; the folder itself if left out.
        more_files: other files and folders that must be inside ``folder``.
        header: how many lines at the start of a list are left out.
        pattern: must match a whole line, without the blanks around it. Its group ``image`` is a path, with ``/`` or
            ``\`` between its parts; of a group ``split`` lines with the name of the split are taken.
        example: such a line, for the error where one does not.
        training_pids: of lists that have all images, the identities that are trained on; the others are tested.

    Raises:
        RuntimeError: if a folder or a file is missing (when built), or a list is empty (when its split is used).
        ValueError: if a line does not read as it should (likewise); see also ``DeclaredDataset``.
        FileNotFoundError: if images that a list names are not there (likewise).
    """

    lists: Mapping[str, str]
    splits: Mapping[str, str] = {}
    more_files: ClassVar[tuple[str, ...]] = ()
    header: ClassVar[int] = 0
    training_pids: ClassVar[range | None] = None
    _reads = "lines"

    def _item(self, line: re.Match[str], split: str) -> tuple[str, Label, Label]:
        """Return image, pid and camid of a line of a split's list; the camid is ``None`` where no camera is known."""
        return os.path.join(self._images(split), line["image"].replace("\\", "/")), *self._labels(line)

    def _belongs(self, line: re.Match[str], split: str) -> bool:
        """Tell whether a line of a split's list is of that split."""
        if self.training_pids is not None:
            return (int(line["pid"]) in self.training_pids) == (split == "train")
        return line.groupdict().get("split", split) == split

    def _lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a list, whichever way they are stored."""
        with open(path, encoding="utf-8-sig", errors="replace") as lines:  # what is no text does not read like a line
            yield from lines

    def _has(self, split: str) -> bool:
        return split in self.lists

    def _wanted(self) -> list[str]:
        return list(dict.fromkeys([*self.splits.values(), *self.lists.values(), *self.more_files]))

    def _images(self, split: str) -> str:
        """Return the folder that a split's images are relative to."""
        return os.path.join(self.dataset_dir, *self.splits[split].split("/")) if self.splits else self.dataset_dir

    def _list_path(self, split: str) -> str:
        return os.path.join(self.dataset_dir, *self.lists[split].split("/"))

    def _list_split(self, split: str) -> Items:
        items = super()._list_split(split)
        if items:
            check_listed(self._list_path(split), [item[0] for item in items], folder=self._images(split))
        return items

    def _parse(self, split: str) -> list[tuple[str, Label, Label]]:
        """Read every line of a split's list."""
        path = self._list_path(split)
        items, empty = [], True
        for number, line in islice(enumerate(self._lines(path), start=1), self.header, None):
            match = self.pattern.fullmatch(line.strip())
            if match:
                empty = False
                if self._belongs(match, split):
                    items.append(self._item(match, split))
            elif line.strip():
                raise ValueError(
                    f"{path}:{number}: {line.strip()!r} does not read like {self.example!r}; "
                    f"get the lists anew from {self.url}"
                )
        if empty:
            raise RuntimeError(f"{path} lists no image; get the lists anew from {self.url}")
        return items

    def _empty_message(self, split: str) -> str:
        return f"{self._list_path(split)} has no line of it that is not junk; get the lists anew from {self.url}"
