"""Put images one after the other into the files of a storage."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import Any, NamedTuple, Protocol

from .header import HEADER_SIZE, write_index
from .index import StorageIndex
from .reader import INDEX_FILE

__all__ = ["PackedWriter", "Place", "TarWriter", "Writer"]

_BLOCK = 512  # bytes; members of a tar begin at multiples


class Place(NamedTuple):
    """Where an image is.

    Args:
        file: number of the file.
        offset: its first byte there.
    """

    file: int
    offset: int


class Writer(Protocol):
    """Writes a storage to a place where there is none."""

    def add(self, path: str, data: bytes, about: dict[str, Any]) -> Place:
        """Append an image with the path ``path``; ``about`` is what JSON can say of it."""

    def files(self) -> list[tuple[str, int]]:
        """End the files of the images; return name and size of each, see ``StorageIndex.files``."""

    def finish(self, index: StorageIndex) -> None:
        """Write the index, and wait until everything is on disk."""


class PackedWriter:
    """Write one file: a header, the images, the index.

    Args:
        place: the file.
    """

    def __init__(self, place: str) -> None:
        self._file = open(place, "xb")  # noqa: SIM115
        self._file.write(bytes(HEADER_SIZE))

    def add(self, path: str, data: bytes, about: dict[str, Any]) -> Place:
        """Append the bytes; the index alone says what they are."""
        offset = self._file.tell()
        self._file.write(data)
        return Place(0, offset)

    def files(self) -> list[tuple[str, int]]:
        """Return nothing: the images are in the file of the index."""
        return []

    def finish(self, index: StorageIndex) -> None:
        """Write the index behind the images."""
        write_index(self._file, index.to_bytes())
        self.close(sync=True)

    def close(self, *, sync: bool = False) -> None:
        """Close the file."""
        _close(self._file, sync=sync)


class TarWriter:
    """Write a folder of ``shard-000000.tar`` ... in the layout of WebDataset, and an index.

    An image is two members of one key, its number: ``000000042.jpg``, the ending that its file had, and
    ``000000042.json``, what is known of it.

    Args:
        place: the folder; made.
        shard_bytes: a shard that has so many bytes is the last but for its end; at least 1.
    """

    def __init__(self, place: str, *, shard_bytes: int) -> None:
        os.mkdir(place)
        self._place, self._shard_bytes = place, shard_bytes
        self._names: list[str] = []
        self._tar: tarfile.TarFile | None = None
        self._count = 0

    def add(self, path: str, data: bytes, about: dict[str, Any]) -> Place:
        """Append the image and its JSON to the shard, or to the next one if it is full."""
        if self._tar is None or self._tar.offset >= self._shard_bytes:
            self._end_shard()
            self._names.append(f"shard-{len(self._names):06d}.tar")
            shard = os.path.join(self._place, self._names[-1])
            self._tar = tarfile.open(shard, "x", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        key = f"{self._count:09d}"
        self._count += 1
        ending = os.path.splitext(path)[1].lower() or ".bin"
        offset = self._add_member(key + ending, data)
        self._add_member(f"{key}.json", json.dumps(about, ensure_ascii=False).encode("utf-8", "surrogateescape"))
        return Place(len(self._names) - 1, offset)

    def files(self) -> list[tuple[str, int]]:
        """End the last shard; return name and size of each."""
        self._end_shard()
        return [(name, os.path.getsize(os.path.join(self._place, name))) for name in self._names]

    def finish(self, index: StorageIndex) -> None:
        """Write the index beside the shards."""
        with open(os.path.join(self._place, INDEX_FILE), "xb") as file:
            file.write(bytes(HEADER_SIZE))
            write_index(file, index.to_bytes())
            _close(file, sync=True)

    def close(self) -> None:
        """Close what is open."""
        self._end_shard()

    def _add_member(self, name: str, data: bytes) -> int:
        info = tarfile.TarInfo(name)  # owner and times are 0, so that the same images give the same bytes
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        return self._tar.offset - -(-len(data) // _BLOCK) * _BLOCK

    def _end_shard(self) -> None:
        if self._tar is not None:
            self._tar.close()
            with open(os.path.join(self._place, self._names[-1]), "rb") as file:
                os.fsync(file.fileno())
            self._tar = None


def _close(file: io.BufferedWriter, *, sync: bool) -> None:
    if sync:
        file.flush()
        os.fsync(file.fileno())
    file.close()
