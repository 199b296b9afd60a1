from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from .bases import FileNameDataset, Item, Items, check_listed

__all__ = ["ListedDataset"]


class ListedDataset(FileNameDataset):
    """A data set whose images are listed in text files, a line each; a subclass declares how a line reads.

    Lists are read when a split is first used, and the images in them must be there.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        lists: split -> its list inside ``folder``.
        more_files: other files that must be inside ``folder``.
        pattern: must match a whole line, without the blanks around it.
        example: such a line, for the error where one does not.

    Raises:
        RuntimeError: if a folder or a file is missing (when built), or a list is empty (when its split is used).
        ValueError: if a line does not read as it should (likewise).
        FileNotFoundError: if images that a list names are not there (likewise).
    """

    lists: ClassVar[Mapping[str, str]]
    more_files: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str]

    @abstractmethod
    def _item(self, line: re.Match[str], split: str) -> Item:
        """Return ``(img_path, pid, camid)`` of a line of a split's list, both labels as ints."""

    def _wanted(self) -> list[str]:
        return list(dict.fromkeys([*super()._wanted(), *self.lists.values(), *self.more_files]))

    def _list_split(self, split: str) -> Items:
        items = super()._list_split(split)
        images = os.path.join(self.dataset_dir, *self._folders(split))
        check_listed(self._list_path(split), [item[0] for item in items], folder=images)
        return items

    def _parse_names(self, split: str) -> Items:
        """Return ``(img_path, pid, camid)`` of every line of a split's list."""
        path = self._list_path(split)
        items = []
        with open(path, encoding="utf-8-sig", errors="replace") as lines:  # what is no text does not read like a line
            for number, line in enumerate(lines, start=1):
                match = self.pattern.fullmatch(line.strip())
                if match:
                    items.append(self._item(match, split))
                elif line.strip():
                    raise ValueError(
                        f"{path}:{number}: {line.strip()!r} does not read like {self.example!r}; "
                        f"get the lists anew from {self.url}"
                    )
        if not items:
            raise RuntimeError(f"{path} lists no image; get the lists anew from {self.url}")
        return items

    def _list_path(self, split: str) -> str:
        return os.path.join(self.dataset_dir, *self.lists[split].split("/"))
