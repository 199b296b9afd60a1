from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from .bases import IMAGE_ENDINGS
from .declared import DeclaredDataset, Label

__all__ = ["FileNameDataset"]

logger = logging.getLogger(__name__)


class FileNameDataset(DeclaredDataset):
    """A data set whose file names tell identity and camera; a subclass only declares how.

    Folders are listed, sorted, when a split is first used.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        splits: split -> its folder or folders inside ``folder``; a split left out is empty.
        depth: how many folders lie between such a folder and an image; ``None``: any number.
        pattern: must match an image's name from its start. It never sees the folders above, unless ``parts`` says so.
        parts: how many parts of an image's path ``pattern`` sees, joined by ``/``: 1 its name alone, 2 its folder too.
        extensions: endings of the images' names, lower case; other files are left out.

    Raises:
        RuntimeError, ValueError: see ``DeclaredDataset``.
    """

    splits: Mapping[str, str | tuple[str, ...]] = {}
    depth: ClassVar[int | None] = 0
    parts: ClassVar[int] = 1
    extensions: ClassVar[tuple[str, ...]] = IMAGE_ENDINGS

    def _has(self, split: str) -> bool:
        return split in self.splits

    def _folders(self, split: str) -> tuple[str, ...]:
        folders = self.splits[split]
        return (folders,) if isinstance(folders, str) else tuple(folders)

    def _wanted(self) -> list[str]:
        return list(dict.fromkeys(folder for split in self.splits for folder in self._folders(split)))

    def _parse(self, split: str) -> list[tuple[str, Label, Label]]:
        """Read every name of a split; log how many tell no identity."""
        items, strange = [], []
        for folder in self._folders(split):
            place = self._place(folder)
            for name in sorted(_walk(place, self.depth, self.extensions)):
                match = self.pattern.match(self._seen(folder, name))
                path = os.path.join(place, name.replace("/", os.sep))
                if match:
                    items.append((path, *self._labels(match)))
                else:
                    strange.append(path)
        if strange:
            logger.warning(
                "%s: left out %d of %d images of %s, whose names do not tell identity and camera, such as %s",
                type(self).__name__,
                len(strange),
                len(items) + len(strange),
                split,
                strange[0],
            )
        return items

    def _place(self, folder: str) -> str:
        return os.path.join(self.dataset_dir, *(part for part in folder.split("/") if part != "."))

    def _seen(self, folder: str, name: str) -> str:
        """Return what the pattern sees of an image, ``name`` being its path inside ``folder``."""
        return name if self.parts == 1 and self.depth == 0 else "/".join(f"{folder}/{name}".split("/")[-self.parts :])

    def _empty_message(self, split: str) -> str:
        folders = " or ".join(self._place(folder) for folder in self._folders(split))
        deep = {0: "", 1: ", a folder deeper,"}.get(self.depth, ", some folders deeper,")
        return (
            f"no image in {folders}{deep} has a name like {self.pattern.pattern!r} with one of the endings "
            f"{', '.join(self.extensions)} and is not junk; unpack the data set there, or set FASTREID_DATASETS or "
            "DATASETS.ROOT to another folder"
        )


def _walk(place: str, depth: int | None, extensions: tuple[str, ...]) -> Iterator[str]:
    """Yield the images ``depth`` folders below ``place``, relative to it, with ``/``."""
    for entry in os.scandir(place):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth != 0:
                inside = _walk(entry.path, None if depth is None else depth - 1, extensions)
                yield from (f"{entry.name}/{name}" for name in inside)
        elif not depth and entry.name.lower().endswith(extensions):
            yield entry.name
