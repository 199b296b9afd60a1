"""Features on disk: a folder with one file of features, one of labels, and one that says what they are."""

from __future__ import annotations

import csv
import json
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from .features import FeatureSet

__all__ = [
    "FEATURES",
    "INDEX",
    "INDEX_COLUMNS",
    "META",
    "FeatureFolder",
    "IndexRow",
    "Labels",
    "number_together",
    "read_feature_folder",
    "read_meta",
    "write_index",
]

FEATURES, INDEX, META = "features.npy", "index.csv", "meta.json"

_META_KEYS = {"complete", "config", "dataset", "inference", "model", "preprocessing"}  # that a reader needs


class IndexRow(NamedTuple):
    """What is known of an image; everything is text, and empty where it is not known.

    Args:
        img_path: of the image.
        pid: number of its identity, or, of a training set, its name.
        camid: likewise of its camera; a number below 0: not known.
        split: ``query``, ``gallery``, ``train`` or empty.
        identity: the identity as its owner wrote it, where that is not ``pid``.
        camera: likewise.
    """

    img_path: str
    pid: str = ""
    camid: str = ""
    split: str = ""
    identity: str = ""
    camera: str = ""


INDEX_COLUMNS = ("place", *IndexRow._fields)


@dataclass(frozen=True, eq=False)
class Labels:
    """Texts of N images, of which many are equal.

    Args:
        names: the different texts.
        codes: ``(N,)`` int64, place of each image's text in ``names``.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    def __getitem__(self, images: slice | np.ndarray) -> Labels:
        return Labels(self.names, self.codes[images])

    def used(self) -> set[str]:
        """Return the texts that some image has."""
        return {self.names[code] for code in np.unique(self.codes).tolist()}

    def numbered(self, numbers: dict[str, int]) -> np.ndarray:
        """Return the number of each image's text, int64 ``(N,)``."""
        table = np.array([numbers.get(name, 0) for name in self.names], dtype=np.int64)
        return table[self.codes] if len(table) else self.codes


@dataclass(frozen=True, eq=False)
class FeatureFolder:
    """Features of N images, on disk, and the labels of these, in memory.

    Args:
        path: of the folder.
        features: ``(N, D)`` float16 or float32, mapped from the file: what is not read takes no memory.
        img_paths: N paths.
        labels: by column of the index, ``pid``, ``camid``, ``split``, ``identity`` and ``camera``.
        meta: what the features are.
    """

    path: str
    features: np.ndarray
    img_paths: Sequence[str]
    labels: dict[str, Labels]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.features)

    def of_split(self, split: str) -> FeatureFolder:
        """Return the images of a split; not copied, if they follow one another. All, if no image has a split."""
        own = self.labels["split"]
        return self if own.used() <= {""} else self.take(np.flatnonzero(own.numbered({split: 1})))

    def take(self, places: np.ndarray) -> FeatureFolder:
        """Return the images at some places ``(N,)`` int64; not copied, if they follow one another."""
        if places.size and np.array_equal(places, np.arange(places[0], places[0] + places.size)):
            places = slice(int(places[0]), int(places[-1]) + 1)
            paths = self.img_paths[places]
        else:
            paths = [self.img_paths[place] for place in places.tolist()]
        labels = {name: of_all[places] for name, of_all in self.labels.items()}
        return FeatureFolder(self.path, self.features[places], paths, labels, self.meta)

    def as_set(self, pids: np.ndarray, camids: np.ndarray) -> FeatureSet:
        """Return the features with labels ``(N,)``, int64; nothing is copied."""
        return FeatureSet(torch.from_numpy(self.features), torch.from_numpy(pids), torch.from_numpy(camids))


def read_meta(folder: str) -> dict[str, Any]:
    """Read what the features of a folder are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged.
    """
    path = os.path.join(folder, META)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{folder} has no {META}; name a folder that tools/extract_features.py has written")
    try:
        with open(path, encoding="utf-8") as file:
            meta = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; extract the features anew, into another folder") from error
    if not isinstance(meta, dict) or not meta.keys() >= _META_KEYS:
        raise ValueError(f"{path} does not describe features; name a folder that tools/extract_features.py has written")
    return meta


def read_feature_folder(folder: str) -> FeatureFolder:
    """Open a folder of features; the features stay on disk.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the extraction is not complete, or the files do not fit each other.
    """
    meta = read_meta(folder)
    if not meta["complete"]:
        raise ValueError(f"the features in {folder} are not complete; run the command that extracts them once more")
    features = _map_features(os.path.join(folder, FEATURES))
    paths, labels = _read_index(os.path.join(folder, INDEX))
    if features.ndim != 2 or len(features) != len(paths):
        raise ValueError(
            f"{folder}: {FEATURES} has the shape {features.shape}, but {INDEX} lists {len(paths)} images; extract the "
            "features anew, into another folder"
        )
    return FeatureFolder(folder, features, paths, labels, meta)


def _map_features(path: str) -> np.ndarray:
    try:
        features = np.load(path, mmap_mode="c", allow_pickle=False)  # nothing is written to it
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}; extract the features anew, into another folder") from error
    if features.dtype not in (np.float16, np.float32):
        raise ValueError(f"{path} has numbers of the type {features.dtype.str}; features are float32 or float16")
    return features


def write_index(file: Any, rows: Iterable[IndexRow]) -> None:
    """Write an index into a text file object opened with ``newline=""``."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(INDEX_COLUMNS)
    table.writerows((place, *row) for place, row in enumerate(rows))


def number_together(first: Labels, second: Labels, *, as_text: bool) -> tuple[np.ndarray, np.ndarray]:
    """Turn the texts of two sets into numbers, the same for the same text.

    Args:
        first: of N images.
        second: of M images.
        as_text: number the different texts, sorted as such; False: they are numbers, unless one is none.

    Returns:
        int64 ``(N,)`` and ``(M,)``; -1 where the text is empty.
    """
    names = first.used() | second.used()
    numbers = None if as_text else _integers(names)
    if numbers is None:
        numbers = {name: number for number, name in enumerate(sorted(names - {""}))}
    numbers[""] = -1
    return first.numbered(numbers), second.numbered(numbers)


def _integers(names: Iterable[str]) -> dict[str, int] | None:
    try:
        return {name: int(name) for name in names if name}
    except ValueError:
        return None


def _read_index(path: str) -> tuple[list[str], dict[str, Labels]]:
    columns = INDEX_COLUMNS[2:]
    known: dict[str, dict[str, int]] = {name: {} for name in columns}
    codes = {name: array("q") for name in columns}
    paths: list[str] = []
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if tuple(header) != INDEX_COLUMNS:
            raise ValueError(f"{path}:1: the columns are {header}; they must be {', '.join(INDEX_COLUMNS)}")
        for cells in lines:
            if len(cells) != len(INDEX_COLUMNS) or cells[0] != str(len(paths)):
                raise ValueError(f"{path}:{lines.line_num}: {cells} is not the image at place {len(paths)}")
            paths.append(cells[1])
            for name, cell in zip(columns, cells[2:], strict=True):
                codes[name].append(known[name].setdefault(cell, len(known[name])))
    labels = {name: Labels(tuple(known[name]), np.array(codes[name], dtype=np.int64)) for name in columns}
    return paths, labels
