"""The first bytes of a stored data set, and the index that they point to.

The header has 128 bytes, little-endian: ``fastreid``; the version of the format, uint32; four bytes 0; where the index
begins, how many bytes it has, and how many the whole file has, uint64 each; the SHA-256 of the index, 32 bytes; zeros.
The index is what ``index.py`` says. In a packed file the images lie between the two; in a folder of tar shards the file
``index.pack`` has nothing between them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import IO

from ..stored_path import StorageError

__all__ = ["FORMAT_VERSION", "HEADER_SIZE", "is_storage_file", "read_index", "write_index"]

FORMAT_VERSION = 1
HEADER_SIZE = 128
_MAGIC = b"fastreid"
_FIELDS = struct.Struct("<8sIIQQQ32s")  # 72 bytes


def write_index(file: IO[bytes], index: bytes) -> None:
    """Append the index to a file whose first ``HEADER_SIZE`` bytes are still free, and fill them in.

    Until then the file has no valid header, so that an unfinished one is never taken for a whole one.
    """
    begin = file.seek(0, os.SEEK_END)
    file.write(index)
    end = file.tell()
    fields = _FIELDS.pack(_MAGIC, FORMAT_VERSION, 0, begin, len(index), end, hashlib.sha256(index).digest())
    file.seek(0)
    file.write(fields.ljust(HEADER_SIZE, b"\0"))
    file.seek(end)


def is_storage_file(path: str) -> bool:
    """Tell whether a file begins as a stored data set does."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_index(path: str) -> bytes:
    """Return the index of a file, having checked that all of the file is there and that the index is undamaged.

    Raises:
        StorageError: if it is not, the file is none of these, or another version wrote it; says what would do.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_SIZE)
            begin, size, digest = _checked(path, header, os.fstat(file.fileno()).st_size)
            file.seek(begin)
            index = file.read(size)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(index).digest() != digest:
        raise StorageError(f"the index of {path} is damaged: its SHA-256 is not the one in the header; {_ANEW}")
    return index


_ANEW = "copy the file anew, or pack the data set anew (tools/pack_dataset.py ... --overwrite)"


def _checked(path: str, header: bytes, actual: int) -> tuple[int, int, bytes]:
    """Return where the index begins, its size and its SHA-256."""
    if header[: len(_MAGIC)] != _MAGIC:
        raise StorageError(f"{path} is no stored data set; make one with tools/pack_dataset.py")
    if len(header) < HEADER_SIZE:
        raise StorageError(f"{path} has only {actual} bytes, less than its header: it has been cut off; {_ANEW}")
    _, version, _, begin, size, total, digest = _FIELDS.unpack(header[: _FIELDS.size])
    if version != FORMAT_VERSION:
        remedy = (
            "pack the data set anew (tools/pack_dataset.py ... --overwrite)"
            if version < FORMAT_VERSION
            else "update the library, or pack the data set with this one (tools/pack_dataset.py ... --overwrite)"
        )
        raise StorageError(
            f"{path} has version {version} of the format, but this library reads version {FORMAT_VERSION}; {remedy}"
        )
    if actual != total:
        what = "it has been cut off" if actual < total else "something has been added to it"
        raise StorageError(f"{path} has {actual} bytes, but should have {total}: {what}; {_ANEW}")
    return begin, size, digest
