from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..stored_path import ContainerFile, ImageStore, StorageError, StoredPath
from .header import read_index
from .index import StorageIndex

__all__ = ["INDEX_FILE", "Storage", "open_storage"]

INDEX_FILE = "index.pack"
"""The index in a folder of tar shards."""


@dataclass(frozen=True)
class Storage:
    """A stored data set.

    Args:
        place: the packed file, or the folder of tar shards.
        index: what it says about its images.
        store: reads their bytes.
    """

    place: str
    index: StorageIndex
    store: ImageStore

    def paths(self, root: str) -> list[StoredPath]:
        """Return the path of every image, as the data set itself gives it.

        Args:
            root: folder of all data sets, which the paths below it begin with.
        """
        joined = (
            os.path.join(root, path) if rooted else path
            for path, rooted in zip(self.index.paths, self.index.rooted.tolist(), strict=True)
        )
        return [StoredPath(path, self.store, number) for number, path in enumerate(joined)]


def open_storage(place: str) -> Storage:
    """Open what ``tools/pack_dataset.py`` made: the index is read and checked, and all files are there in full length.

    Args:
        place: a packed file, or a folder of tar shards.

    Raises:
        StorageError: if something is missing, cut off, damaged or of another version; the message names it.
    """
    own = os.path.join(place, INDEX_FILE) if os.path.isdir(place) else place
    if own != place and not os.path.isfile(own):
        raise StorageError(
            f"the folder {place} has no {INDEX_FILE}, so it holds no stored data set; make one with "
            "tools/pack_dataset.py --format tar"
        )
    index = StorageIndex.from_bytes(read_index(own))
    if index.files:
        _check_files(place, index.files)
    names = [os.path.join(place, name) for name, _ in index.files] or [own]
    places = {name: getattr(index, name) for name in ("container", "offset", "size", "crc32")}
    return Storage(place, index, ImageStore([ContainerFile(name) for name in names], **places))


def _check_files(place: str, files: Sequence[tuple[str, int]]) -> None:
    for name, size in files:
        path = os.path.join(place, name)
        if not os.path.isfile(path):
            raise StorageError(
                f"{path} is missing, one of {len(files)} shards that {INDEX_FILE} lists; copy it there, or pack the "
                "data set anew (tools/pack_dataset.py ... --overwrite)"
            )
        if os.path.getsize(path) != size:
            raise StorageError(
                f"{path} has {os.path.getsize(path)} bytes, but should have {size}; copy it anew, or pack the data set "
                "anew (tools/pack_dataset.py ... --overwrite)"
            )
