"""Paths of images that lie inside another file, and how their bytes are read."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["ContainerFile", "ImageStore", "StorageError", "StoredPath", "image_bytes", "image_file"]


class StorageError(OSError):
    """A file that holds images is missing, cut off or damaged; the message names it."""


class ContainerFile:
    """A file that holds images; each process opens it for itself when it first reads from it.

    Reads name their place, so that processes and threads share no position. What is pickled is the path.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._opened: tuple[int, io.FileIO] | None = None  # process that opened it, and the file

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on.

        Raises:
            StorageError: if the file cannot be read, or ends before that.
        """
        try:
            data = self._read(offset, size)
        except OSError as error:
            raise StorageError(
                f"cannot read {self.path} ({error.strerror or error}); put it back, or correct DATASETS.STORAGE"
            ) from error
        if len(data) < size:
            raise StorageError(
                f"{self.path} ends after {offset + len(data)} bytes, within an image that should end after "
                f"{offset + size}: it has been cut off; copy or pack it anew"
            )
        return data

    def _read(self, offset: int, size: int) -> bytes:
        if not hasattr(os, "pread"):  # Windows
            with open(self.path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        file = self._file()
        parts: list[bytes] = []
        while size > 0:
            part = os.pread(file.fileno(), size, offset)
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _file(self) -> io.FileIO:
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            opened = self._opened = (os.getpid(), open(self.path, "rb", buffering=0))  # noqa: SIM115
        return opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None}


class ImageStore:
    """Where each of n images lies inside other files.

    Args:
        files: the files.
        container: ``(n,)`` int, which of them an image is in.
        offset: ``(n,)`` int64, its first byte there.
        size: ``(n,)`` int64, its bytes.
        crc32: ``(n,)`` uint32, their CRC-32.
    """

    def __init__(
        self,
        files: Sequence[ContainerFile],
        *,
        container: np.ndarray,
        offset: np.ndarray,
        size: np.ndarray,
        crc32: np.ndarray,
    ) -> None:
        self.files = list(files)
        self._container, self._offset, self._size, self._crc32 = container, offset, size, crc32

    def __len__(self) -> int:
        return len(self._container)

    def read(self, number: int, path: str) -> bytes:
        """Return the bytes of an image.

        Args:
            number: its place.
            path: of the image, for the error.

        Raises:
            StorageError: if they cannot be read, or are not those that were stored.
        """
        file = self.files[int(self._container[number])]
        data = file.read(int(self._offset[number]), int(self._size[number]))
        if zlib.crc32(data) != self._crc32[number]:
            raise StorageError(
                f"{path} in {file.path} is damaged: its checksum is not the one that was stored; copy "
                f"or pack {file.path} anew, and if it was replaced while this run had it open, start the run again"
            )
        return data


class StoredPath(str):
    """The path that an image had as a file; :meth:`read` returns its bytes from the file that it lies in now.

    It equals the plain path, and whatever takes a path takes it.

    Args:
        path: of the image.
        store: where the bytes are.
        number: place of the image in it.
    """

    __slots__ = ("_number", "_store")

    def __new__(cls, path: str, store: ImageStore, number: int) -> StoredPath:
        """Return the path."""
        made = super().__new__(cls, path)
        made._store, made._number = store, number
        return made

    def read(self) -> bytes:
        """Return the bytes of the image; see :meth:`ImageStore.read`."""
        return self._store.read(self._number, str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredPath, (str(self), self._store, self._number)


def image_bytes(path: str) -> bytes:
    """Return the bytes of the image ``path``, wherever they lie.

    Raises:
        StorageError: if they lie in another file and cannot be read there.
        OSError: if the image is a file and cannot be read.
    """
    if isinstance(path, StoredPath):
        return path.read()
    with open(path, "rb") as file:
        return file.read()


def image_file(path: str) -> str | io.BytesIO:
    """Return what ``PIL.Image.open`` takes to read the image ``path``, wherever its bytes lie.

    Raises:
        StorageError: if they lie in another file and cannot be read there.
    """
    return io.BytesIO(path.read()) if isinstance(path, StoredPath) else path
