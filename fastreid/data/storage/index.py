"""What a stored data set says about its images: names, labels, splits, and where the bytes are.

The index is an ``.npz`` of numpy, written without pickles:

- ``paths``: bytes, the path of each of the n images, with ``/``; below the folder of all data sets where ``rooted``
- ``rooted`` bool; ``container`` int32, which of the files; ``offset`` and ``size`` int64, in bytes; ``crc32`` uint32
- ``<split>.images`` int64: the images of a split, in its order; ``<split>.pids``, ``<split>.camids`` and perhaps
  ``<split>.identities``, ``<split>.cameras`` int32: their labels, as places in lists of ``meta``
- ``meta``: JSON, with what :class:`StorageIndex` has besides
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["COMBINED", "SplitIndex", "StorageIndex", "plain_label", "plain_option"]

COMBINED = "combined"
"""Name under which the training items of ``DATASETS.COMBINEALL`` are stored, beside train, query and gallery."""

_LABELS = ("pids", "camids", "identities", "cameras")
_PLACES = ("rooted", "container", "offset", "size", "crc32")


@dataclass(frozen=True)
class SplitIndex:
    """The items of a split, m of them.

    Args:
        images: ``(m,)`` int64, place of each among all images.
        pids: m pids, strings or ints as the data set has them.
        camids: m camids, likewise.
        identities: m identities as their owner wrote them; ``None``: the data set does not tell.
        cameras: likewise; an unknown one is empty.
    """

    images: np.ndarray
    pids: Sequence[int | str]
    camids: Sequence[int | str]
    identities: Sequence[str] | None = None
    cameras: Sequence[str] | None = None


@dataclass(frozen=True)
class StorageIndex:
    """A data set of n images in files.

    Args:
        dataset: the name that ``DATASETS.NAMES`` has for it.
        label: the prefix that the training pids of one's own images have; see ``dataset_labels``.
        kind: ``packed`` or ``tar``.
        options: keyword arguments that the class of the data set knows, each with the value that the storage was made
            with, and the value that it has if nothing is said.
        has_cameras: whether all cameras are known.
        files: name and size in bytes of each file, beside the index; empty: the images are in the index's own file.
        paths: n paths as the data set gives them; below the folder of all data sets without that folder.
        rooted: ``(n,)`` bool, whether a path is below that folder.
        container: ``(n,)`` int32, place in ``files``.
        offset: ``(n,)`` int64, first byte.
        size: ``(n,)`` int64, bytes.
        crc32: ``(n,)`` uint32 of the bytes.
        splits: by name, ``train``, ``query``, ``gallery`` and :data:`COMBINED`, as far as they are stored.
    """

    dataset: str
    label: str
    kind: str
    options: Mapping[str, tuple[Any, Any]]
    has_cameras: bool
    files: Sequence[tuple[str, int]]
    paths: Sequence[str]
    rooted: np.ndarray
    container: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    crc32: np.ndarray
    splits: Mapping[str, SplitIndex]

    def to_bytes(self) -> bytes:
        """Return the index as it is stored; the same index gives the same bytes."""
        names = [os.fsencode(path.replace(os.sep, "/")) for path in self.paths]
        arrays: dict[str, np.ndarray] = {"paths": np.array(names, dtype=np.bytes_) if names else np.zeros(0, "S1")}
        arrays |= {name: getattr(self, name) for name in _PLACES}
        tables: dict[str, dict[str, list[Any]]] = {}
        for split, items in self.splits.items():
            arrays[f"{split}.images"] = np.asarray(items.images, dtype=np.int64)
            tables[split] = {}
            for column in _LABELS:
                values = getattr(items, column)
                if values is not None:
                    tables[split][column], arrays[f"{split}.{column}"] = _coded(values)
        meta = {name: getattr(self, name) for name in ("dataset", "label", "kind", "has_cameras")}
        options = {option: list(map(plain_option, values)) for option, values in self.options.items()}
        meta |= {"options": options, "files": [list(file) for file in self.files], "splits": tables}
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        stored = io.BytesIO()
        np.savez_compressed(stored, **arrays)
        return stored.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> StorageIndex:
        """Return the index that :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            meta = json.loads(arrays["meta"].tobytes())
            splits = {
                split: SplitIndex(
                    arrays[f"{split}.images"],
                    *(_decoded(table.get(column), arrays, f"{split}.{column}") for column in _LABELS),
                )
                for split, table in meta.pop("splits").items()
            }
            paths = [os.fsdecode(name).replace("/", os.sep) for name in arrays["paths"].tolist()]
            places = {name: arrays[name] for name in _PLACES}
        files = [(name, size) for name, size in meta.pop("files")]
        meta["options"] = {option: tuple(values) for option, values in meta["options"].items()}
        return cls(**meta, files=files, paths=paths, **places, splits=splits)


def _coded(labels: Sequence[int | str]) -> tuple[list[int | str], np.ndarray]:
    """Return the different labels, and the place of each label among them, ``(m,)`` int32."""
    places: dict[int | str, int] = {}
    codes = np.fromiter((places.setdefault(plain_label(label), len(places)) for label in labels), np.int32, len(labels))
    return list(places), codes


def plain_label(label: Any) -> int | str:
    """Return a pid or camid as an int or a str of Python.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(label, str):
        return str(label)
    if isinstance(label, (int, np.integer)):
        return int(label)
    raise TypeError(f"pids and camids must be ints or strings to be stored, got {label!r} of {type(label).__name__}")


def plain_option(value: Any) -> Any:
    """Return a value as JSON gives it back, so that it can be compared with a stored one."""
    return json.loads(json.dumps(value, default=str))


def _decoded(values: list[Any] | None, arrays: Mapping[str, np.ndarray], name: str) -> list[Any] | None:
    return None if values is None else [values[code] for code in arrays[name].tolist()]
