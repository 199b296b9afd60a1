"""Look through a file of ``torch.save`` before it is loaded: what it holds, and how much memory it would take."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from .pickle_audit import DeclaredStorage, PickleAudit, WeightFileError

__all__ = ["TORCH_MAGIC", "check_torch_file"]

MAX_PICKLE = 2**23
"""Bytes of the part of a file that names and places its tensors; a ResNet-50 with the state of Adam has 80 KB."""

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file by torch before 1.6

TORCH_MAGIC = _MAGIC.to_bytes(10, "little")
"""How the bytes of such a file show that number, whatever the protocol of its pickles."""

# What a pickle that makes no sense raises when it is run.
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, ValueError)


def check_torch_file(path: str) -> None:
    """Raise unless a file of ``torch.save`` holds dense tensors and plain values that take about as much as itself.

    Nothing of it is executed: its pickle is run with stand-ins that only count. Such a file can be small and still
    take all memory: by a compressed entry, by a storage or a view that declares more than is there, by a call that
    allocates.

    Args:
        path: begins as a zip archive, or as a pickle (torch before 1.6).

    Raises:
        WeightFileError: with what is wrong with it, without its path.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\3\4"
            check = _check_zip if zipped else _check_legacy
            check(file, os.fstat(file.fileno()).st_size)
    except WeightFileError:
        raise
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise WeightFileError(f"it is damaged, most likely cut off ({error}); get it anew") from error
    except (*_DAMAGE, pickle.UnpicklingError, struct.error) as error:
        reason = " ".join(repr(error).split())[:200]
        raise WeightFileError(f"it is damaged: its pickle makes no sense ({reason}); get it anew") from error


def _check_zip(file: io.BufferedReader, size: int) -> None:
    """Check an archive: each of its entries lies in the file as it is, and the tensors lie in the entries."""
    _check_end(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        root = entries[0].filename.split("/")[0] if entries else ""
        sizes = {entry.filename.removeprefix(f"{root}/"): entry.file_size for entry in entries}
        if "constants.pkl" in sizes:
            raise WeightFileError(
                "it is a TorchScript archive, which is a program; where you trust it, load it with torch.jit.load and "
                "save its state_dict() with torch.save"
            )
        _check_entries(entries, size)
        if "data.pkl" not in sizes:
            raise WeightFileError("it is a zip archive, but not one of torch.save; unpack it, and name a file in it")
        if sizes["data.pkl"] > MAX_PICKLE:
            raise _too_long(sizes["data.pkl"])
        data = _entry(file, archive.getinfo(f"{root}/data.pkl"))
    storages: dict[str, DeclaredStorage] = {}
    PickleAudit(io.BytesIO(data), size, lambda pid: _zip_storage(pid, storages, sizes)).load()


def _entry(file: io.BufferedReader, entry: zipfile.ZipInfo) -> bytes:
    """Read an entry that is not compressed; torch can be told to write no checksums, which zipfile would refuse."""
    file.seek(entry.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    file.seek(name + extra, os.SEEK_CUR)
    data = file.read(entry.file_size)
    if entry.CRC and zlib.crc32(data) != entry.CRC:
        raise WeightFileError(f"it is damaged: the checksum of its entry {entry.filename!r} is wrong; get it anew")
    return data


def _check_end(file: io.BufferedReader, size: int) -> None:
    """Check that the end of an archive is what all readers agree on: no comment, and one directory."""
    file.seek(-min(size, 42), os.SEEK_END)
    tail = file.read()
    if tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise WeightFileError("it is damaged, most likely cut off: the directory at its end is missing; get it anew")
    if tail[:4] == b"PK\6\7" and struct.unpack_from("<Q", tail, 8)[0] != size - 42 - 56:
        raise WeightFileError("it is damaged: its zip archive has two directories; get it anew")


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = {entry.filename.lower() for entry in entries}  # torch does not distinguish either
    if len(names) < len(entries) or any(entry.filename != entry.orig_filename for entry in entries):
        raise WeightFileError("it is damaged: entries of its zip archive share a name, or have a strange one")
    free = 0  # the first byte that no entry has taken
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise WeightFileError(
                f"its entry {entry.filename!r} has {entry.compress_size} bytes that would become "
                f"{entry.file_size}; torch.save compresses nothing, so get it anew"
            )
        if entry.header_offset < free or (free == 0 and entry.header_offset):
            raise WeightFileError(f"it is damaged: its entry {entry.filename!r} does not begin where another one ends")
        free = entry.header_offset + 30 + len(entry.filename) + entry.file_size
        if free > size:
            raise WeightFileError(
                f"its entry {entry.filename!r} declares {entry.file_size} bytes, more than the file of {size} has "
                "left; get it anew"
            )


def _zip_storage(
    pid: tuple[Any, ...], storages: dict[str, DeclaredStorage], sizes: Mapping[str, int]
) -> DeclaredStorage:
    _, kind, key, _, numel = pid
    _require_text(key)
    if key in storages:  # what torch then takes, too
        return storages[key]
    storage = storages[key] = DeclaredStorage(kind, numel)
    there = sizes.get(f"data/{key}")
    if there is None or not 0 <= there - storage.nbytes < storage.itemsize:
        raise WeightFileError(
            f"its storage {key!r} declares {storage.nbytes} bytes, and has {'none' if there is None else there}; "
            "it is damaged or made to take memory, so get it anew"
        )
    return storage


def _check_legacy(file: io.BufferedReader, size: int) -> None:
    """Check a file by torch before 1.6: five pickles, and behind them each storage, its number of elements first."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = io.BytesIO(data[:MAX_PICKLE])
        storages: dict[str, DeclaredStorage] = {}
        views: dict[Any, DeclaredStorage] = {}
        try:
            magic = PickleAudit(head, size, _no_storage).load()
            if magic != _MAGIC:
                raise WeightFileError("it is a pickle, but not one of torch.save; save a state dict with torch.save")
            for _ in ("version", "sizes of the machine"):
                PickleAudit(head, size, _no_storage).load()
            PickleAudit(head, size, lambda pid: _legacy_storage(pid, storages, views, size)).load()
            keys = PickleAudit(head, size, _no_storage).load()
        except (EOFError, LookupError, ValueError, pickle.UnpicklingError):
            if head.tell() < MAX_PICKLE:
                raise
            raise _too_long(size) from None
        for key in keys:
            _require_text(key)
        if set(keys) != storages.keys():
            raise WeightFileError("it is damaged: it has no list of its storages; get it anew")
        place = head.tell()
        for key in keys:
            place += 8 + storages[key].nbytes
            if place > size:
                raise _too_large(key, storages[key], size)


def _legacy_storage(
    pid: tuple[Any, ...], storages: dict[str, DeclaredStorage], views: dict[Any, DeclaredStorage], size: int
) -> DeclaredStorage:
    if pid[0] == "module":
        raise WeightFileError("it is a whole model, which is a program; save its state_dict() with torch.save instead")
    _, kind, key, _, numel, view = pid
    _require_text(key)
    storage = storages.setdefault(key, DeclaredStorage(kind, numel))
    if storage.nbytes > size:
        raise _too_large(key, storage, size)
    if view is None:
        return storage
    name, offset, numel = view
    _require_text(name)
    if name not in views:  # as torch does: the first of a name counts
        part = DeclaredStorage(kind, numel)
        if offset < 0 or offset * part.itemsize + part.nbytes > storage.nbytes:
            raise WeightFileError(f"it is damaged: a part of its storage {key!r} lies outside it; get it anew")
        views[name] = part
    return views[name]


def _too_large(key: str, storage: DeclaredStorage, size: int) -> WeightFileError:
    return WeightFileError(
        f"its storage {key!r} declares {storage.nbytes} bytes, more than the file of {size} has left; it is cut off or "
        "made to take memory, so get it anew"
    )


def _require_text(key: Any) -> None:
    if not isinstance(key, str):
        raise WeightFileError("it is damaged: a storage of it has no proper name; get it anew")


def _no_storage(pid: Any) -> Any:
    raise WeightFileError("it is damaged: it names a tensor where none can be; get it anew")


def _too_long(size: int) -> WeightFileError:
    return WeightFileError(
        f"what it holds beside tensors takes {size} bytes, and {MAX_PICKLE} are allowed; "
        "save the state dict alone with torch.save"
    )
