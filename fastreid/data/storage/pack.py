"""Put a data set into one file, or into tar shards."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...utils.progress import Progress, progress
from ..datasets.build import dataset_labels, dataset_root
from ..stored_path import image_bytes
from .contents import SPLITS, Contents, contents_of
from .header import is_storage_file
from .index import SplitIndex, StorageIndex
from .page_cache import drop_pages
from .reader import INDEX_FILE, open_storage
from .writers import PackedWriter, TarWriter

__all__ = ["KINDS", "check_storage", "pack_dataset", "write_storage"]

KINDS = ("packed", "tar")
_GIB = 2**30
_MEMBER = 2048  # bytes that an image takes at most beside its own: two headers, its JSON, what is filled up
_ROW = 512  # likewise in the index
_OWN = re.compile(rf"shard-\d{{6,}}\.tar|{re.escape(INDEX_FILE)}")  # what a folder of shards has


def pack_dataset(
    name: str,
    output: str,
    *,
    kind: str = "packed",
    splits: Sequence[str] = SPLITS,
    root: str = "",
    options: Mapping[str, Any] | None = None,
    shard_mb: float = 256,
    overwrite: bool = False,
    verify: bool = False,
) -> int:
    """Store a data set; see :func:`contents_of` and :func:`write_storage` for arguments and errors.

    Returns:
        How many bytes the storage has.
    """
    contents = contents_of(name, splits=splits, root=root, options=options)
    return write_storage(contents, output, kind=kind, root=root, shard_mb=shard_mb, overwrite=overwrite, verify=verify)


def write_storage(
    contents: Contents,
    output: str,
    *,
    kind: str = "packed",
    root: str = "",
    shard_mb: float = 256,
    overwrite: bool = False,
    verify: bool = False,
) -> int:
    """Store images with the bytes of their files.

    Everything is written beside ``output`` and gets its name when it is complete and on disk. Whatever ends this
    earlier, there is nothing of that name, or what there was.

    Args:
        contents: the images.
        output: the file, or for ``tar`` the folder.
        kind: one of :data:`KINDS`.
        root: ``DATASETS.ROOT``; paths below it are stored without it.
        shard_mb: a tar shard ends with the image that makes it so long, in units of 1e6 bytes, > 0.
        overwrite: replace a storage that is there.
        verify: read every image back and compare it with its file before the storage gets its name.

    Returns:
        How many bytes the storage has.

    Raises:
        ValueError: if an argument is not possible.
        FileExistsError: if there is something, unless it is a storage and may be overwritten.
        OSError: if an image is missing or the disk has too little room; nothing is left then.
    """
    if kind not in KINDS:
        raise ValueError(f"--format must be one of {', '.join(KINDS)}, got {kind!r}")
    if not 0 < shard_mb < math.inf:
        raise ValueError(f"--shard-size must be positive and finite (MB), got {shard_mb}")
    output = os.path.abspath(os.path.expanduser(output))
    _check_output(output, overwrite)
    paths = list(dict.fromkeys(item[0] for items in contents.splits.values() for item in items))
    _check_room(os.path.dirname(output), sum(map(_size, paths)) + (_ROW + _MEMBER * (kind == "tar")) * len(paths))
    work = tempfile.mkdtemp(prefix=f".{os.path.basename(output)}-", suffix=".unfinished", dir=os.path.dirname(output))
    try:
        made = os.path.join(work, "new")
        writer = PackedWriter(made) if kind == "packed" else TarWriter(made, shard_bytes=int(shard_mb * 1e6))
        try:
            _write(writer, contents, paths, kind, dataset_root(root))
        finally:
            writer.close()
        _read_back(made, paths, compare=verify)
        _name(made, output, work)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"{os.path.dirname(output)} has become full, by its size or a quota ({error.strerror}), and nothing is "
            "left there; free some space, or name a place on another disk",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return sum(os.path.getsize(file) for file in _files(output))


def check_storage(place: str) -> int:
    """Read every image of a storage, and compare it with the checksum that was stored; return how many there are.

    Raises:
        StorageError: for the first that differs, or if the storage cannot be opened.
    """
    storage = open_storage(place)
    for path in progress(storage.paths(""), desc="Checking", unit="image"):
        path.read()
    return len(storage.store)


def _write(writer: PackedWriter | TarWriter, contents: Contents, paths: list[str], kind: str, root: str) -> None:
    """Write all images and the index."""
    places = np.zeros((len(paths), 2), dtype=np.int64)  # file and offset
    sizes, checks = np.zeros(len(paths), dtype=np.int64), np.zeros(len(paths), dtype=np.uint32)
    prefix = os.path.join(root, "")
    names = [path.removeprefix(prefix) for path in paths]
    about = contents.about() if kind == "tar" else {}
    with Progress(total=len(paths), desc="Packing", unit="image") as bar:
        for number, (path, name) in enumerate(zip(paths, names, strict=True)):
            data = image_bytes(path)
            places[number] = writer.add(name, data, {"path": name.replace(os.sep, "/"), **about.get(path, {})})
            sizes[number], checks[number] = len(data), zlib.crc32(data)
            bar.update()
    numbers = {path: number for number, path in enumerate(paths)}
    splits = {
        split: SplitIndex(
            np.array([numbers[item[0]] for item in items], dtype=np.int64),
            *([item[column] for item in items] for column in (1, 2)),
            *map(list, zip(*contents.written[split], strict=True) if contents.written.get(split) else ()),
        )
        for split, items in contents.splits.items()
    }
    index = StorageIndex(
        dataset=contents.dataset,
        label=dataset_labels([contents.dataset])[contents.dataset],
        kind=kind,
        options=contents.options,
        has_cameras=contents.has_cameras,
        files=writer.files(),
        paths=names,
        rooted=np.array([path.startswith(prefix) for path in paths], dtype=bool),
        container=places[:, 0].astype(np.int32),
        offset=places[:, 1].copy(),
        size=sizes,
        crc32=checks,
        splits=splits,
    )
    writer.finish(index)


def _read_back(made: str, paths: Sequence[str], *, compare: bool) -> None:
    storage = open_storage(made)
    if not compare:
        return
    for file in _files(made):
        drop_pages(file)  # so that it is the disk that is read, where the system allows it
    for path, stored in progress(
        zip(paths, storage.paths(""), strict=True), total=len(paths), desc="Verifying", unit="image"
    ):
        if stored.read() != image_bytes(path):
            raise OSError(
                f"{path} changed while the data set was packed, or the disk does not keep what it was given; nothing "
                "has been written under the final name: pack it again"
            )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise OSError(
            f"cannot read the image {path} ({error.strerror or error}); put it there, or take it out of the data set"
        ) from error


def _check_output(output: str, overwrite: bool) -> None:
    folder = os.path.dirname(output)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"--output {output}: there is no folder {folder}; make it first")
    if not os.path.lexists(output):
        return
    if not is_storage_file(os.path.join(output, INDEX_FILE) if os.path.isdir(output) else output):
        raise FileExistsError(f"--output {output} exists and is no stored data set; name another place")
    others = sorted(name for name in os.listdir(output) if not _OWN.fullmatch(name)) if os.path.isdir(output) else []
    if others:
        raise FileExistsError(
            f"--output {output} exists and has other things beside a stored data set: {', '.join(others[:3])}"
            f"{', ...' if len(others) > 3 else ''}; move them, or name another place"
        )
    if not overwrite:
        raise FileExistsError(f"--output {output} exists; give --overwrite to replace it, or name another place")


def _check_room(folder: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder} has {free / _GIB:.3g} GiB left, but the storage takes up to {needed / _GIB:.3g} GiB; free some "
            "space, or name a place on another disk"
        )


def _name(made: str, output: str, work: str) -> None:
    """Give what was made its name; what had it is gone afterwards."""
    if not (os.path.isdir(output) or os.path.isdir(made)):
        os.replace(made, output)
    else:  # a folder cannot be replaced in one step
        old = os.path.join(work, "old")
        if os.path.lexists(output):
            os.rename(output, old)
        try:
            os.rename(made, output)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, output)
            raise
    _sync(os.path.dirname(output))


def _sync(folder: str) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _files(place: str) -> list[str]:
    return sorted(entry.path for entry in os.scandir(place)) if os.path.isdir(place) else [place]
