"""A data set as the checks see it: numbers for files, identities and cameras."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..labels import labels_as_texts
from .facts import STATES
from .finding import Case, Finding, Severity, counted

__all__ = ["SPLITS", "LabelledSplit", "Subject", "label_splits"]

SPLITS = ("train", "query", "gallery")
_UNKNOWN = -1  # a camera


@dataclass(frozen=True)
class LabelledSplit:
    """The images of one split, as places in the lists of a :class:`Subject`.

    Args:
        files: ``(N,)`` int64.
        pids: ``(N,)`` int64, identities.
        cams: ``(N,)`` int64, cameras; -1: not known.
    """

    files: np.ndarray
    pids: np.ndarray
    cams: np.ndarray

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class Subject:
    """What the doctor looks at.

    Args:
        name: of the data set.
        splits: by name, each of :data:`SPLITS` that could be listed.
        paths: F files, each once, absolute.
        identities: as texts; equal ones are one person in all splits.
        cameras: likewise.
        protocol: that which ``TEST.PROTOCOL`` means for this set; empty without test images.
        asked: ``TEST.PROTOCOL``.
        size: (height, width) in pixels of what a model is fed.
        nobody: identities that are nobody, such as distractors and junk, as places in ``identities``.
        dataset: the data set, for what it declares beside its splits.
        facts: ``(F,)`` of :data:`~.facts.FACTS`; ``None``: no image was read.
        texts: what there is to say about a file, by its place.
        most: cases that a finding lists.
    """

    name: str
    splits: Mapping[str, LabelledSplit]
    paths: Sequence[str]
    identities: Sequence[str]
    cameras: Sequence[str]
    protocol: str
    asked: str = "auto"
    size: tuple[int, int] = (256, 128)
    nobody: frozenset[int] = frozenset()
    dataset: Any = None
    facts: np.ndarray | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    most: int = 10

    def split(self, name: str) -> LabelledSplit:
        """Return a split; an empty one if it is not there."""
        return self.splits.get(name, _EMPTY)

    @functools.cached_property
    def test(self) -> LabelledSplit:
        """Queries, then gallery."""
        return _join([self.split("query"), self.split("gallery")])

    @functools.cached_property
    def everything(self) -> LabelledSplit:
        """Training images, queries, gallery."""
        return _join([self.split(name) for name in SPLITS])

    @functools.cached_property
    def everything_split(self) -> np.ndarray:
        """The split of each of ``everything``, as places in :data:`SPLITS`, ``(N,)``."""
        return np.repeat(np.arange(len(SPLITS)), [len(self.split(name)) for name in SPLITS])

    @functools.cached_property
    def readable(self) -> np.ndarray:
        """Which of the files could be read, ``(F,)`` bool; all, if none was tried."""
        if self.facts is None:
            return np.ones(len(self.paths), dtype=bool)
        return self.facts["state"] == STATES.index("fine")

    @functools.cached_property
    def trains_on_its_test(self) -> bool:
        """Whether all images are in training and test at once, as in a set that nobody has split."""
        train, test = set(self.split("train").files.tolist()), set(self.test.files.tolist())
        return bool(train) and train == test

    def of_files(self, severity: Severity, kind: str, message: str, files: Sequence[int]) -> Finding:
        """Return a finding about files, given by their places; ``message`` goes on after their number."""
        files = list(dict.fromkeys(int(file) for file in files))
        cases = tuple(Case((self.paths[file],), self.texts.get(file, "")) for file in files[: self.most])
        return Finding(severity, kind, f"{counted(len(files), 'image')} {message}", len(files), cases)

    def where(self, files: Sequence[int]) -> str:
        """Tell how many of the files each split has: ``train 3 (0.23 %), gallery 12 (15 %)``."""
        wanted = np.zeros(len(self.paths), dtype=bool)
        wanted[np.asarray(files, dtype=np.int64)] = True
        parts = []
        for name, split in self.splits.items():
            count = int(wanted[split.files].sum())
            if count:
                percent = 100 * count / len(split)
                parts.append(
                    f"{name} {count} ({percent:.2g} %)" if percent < 10 else f"{name} {count} ({percent:.0f} %)"
                )
        return ", ".join(parts)


_NONE = np.zeros(0, dtype=np.int64)
_EMPTY = LabelledSplit(_NONE, _NONE, _NONE)


def _join(splits: Sequence[LabelledSplit]) -> LabelledSplit:
    return LabelledSplit(
        np.concatenate([split.files for split in splits]),
        np.concatenate([split.pids for split in splits]),
        np.concatenate([split.cams for split in splits]),
    )


def label_splits(
    dataset: Any, splits: Mapping[str, Sequence[tuple[Any, ...]]]
) -> tuple[dict[str, LabelledSplit], list[str], list[str], list[str]]:
    """Number the files, identities and cameras of a data set.

    Args:
        dataset: says how its labels read, see :func:`~..labels.labels_as_texts`.
        splits: by name, ``(img_path, pid, camid)``.

    Returns:
        The splits; and the files, identities and cameras that their numbers are places in.
    """
    files, identities, cameras = {}, {}, {}
    labelled = {}
    for name, items in splits.items():
        texts = labels_as_texts(dataset, name, items)
        labelled[name] = LabelledSplit(
            _places(files, [os.path.abspath(item[0]) for item in items]),
            _places(identities, [identity for identity, _ in texts]),
            _places(cameras, [camera for _, camera in texts], empty=_UNKNOWN),
        )
    return labelled, list(files), list(identities), list(cameras)


def _places(known: dict[str, int], texts: Sequence[str], *, empty: int | None = None) -> np.ndarray:
    """Return the place of each text in ``known``, to which new ones are added; ``empty`` is that of an empty text."""
    places = (empty if empty is not None and not text else known.setdefault(text, len(known)) for text in texts)
    return np.fromiter(places, dtype=np.int64, count=len(texts))
