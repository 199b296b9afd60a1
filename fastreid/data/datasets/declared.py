"""A published data set as a declaration: where it lies, how it reads, and how many images there should be."""

from __future__ import annotations

import functools
import logging
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from .bases import ImageDataset, Item, Items
from .build import dataset_root

__all__ = ["DeclaredDataset"]

logger = logging.getLogger(__name__)

Label = int | str | None
Statistics = Mapping[str, tuple[int | None, int | None]]


class DeclaredDataset(ImageDataset):
    """A data set that its class describes; the base of ``FileNameDataset`` and ``ListedDataset``.

    Files are looked at when a split is first used.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        dataset_name: prefix of the training pids and camids.
        folder: the data set's folder below the root. Where it is missing, the root itself may be the data set, if two
            names or more inside tell that it is.
        url: its home page.
        licence: the terms of its use, in words.
        hint: what else helps somebody who does not have it.
        layouts: the ways in which it lies on disk, the preferred one first: each a mapping of those attributes of the
            class that are different in it. The first that is complete is taken.
        pattern: groups ``pid`` and perhaps ``cam``; digits are numbers, anything else is a name.
        example: something that the pattern matches.
        first_camera: the number that becomes camid 0.
        junk_pids: identities that are dropped from all splits.
        distractor_pids: identities of the gallery that are nobody; ``combine_all`` leaves them out.
        statistics: split -> (identities, images) as published, after dropping junk; ``None`` where it is not known. A
            difference is logged.

    Raises:
        RuntimeError: if a file or folder is missing (when built), or a split has no image (when it is used).
        ValueError: if a camera is below the first, or a number does not fit into 64 bits (likewise).
    """

    folder: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]
    url: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    hint: ClassVar[str] = ""
    example: ClassVar[str] = ""
    layouts: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    first_camera: ClassVar[int] = 1
    junk_pids: ClassVar[frozenset[int]] = frozenset()
    distractor_pids: ClassVar[frozenset[int]] = frozenset()
    statistics: Statistics = {}
    _reads: ClassVar[str] = "names"  # what `pattern` is for

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        self.root = dataset_root(root)
        self.dataset_dir = self._find_folder()
        self._found: dict[str, tuple[int, int]] = {}
        self._camera_unknown = False
        splits = (functools.partial(self._list_split, split) for split in ("train", "query", "gallery"))
        super().__init__(*splits, **kwargs)

    @abstractmethod
    def _has(self, split: str) -> bool:
        """Tell whether the data set has a split."""

    @abstractmethod
    def _wanted(self) -> list[str]:
        """Return the files and folders that must be in the data set's folder; ``.`` is the folder itself."""

    @abstractmethod
    def _parse(self, split: str) -> list[tuple[str, Label, Label]]:
        """Return image, pid and camid of a split, junk too; the camid is ``None`` where no camera is known."""

    @abstractmethod
    def _empty_message(self, split: str) -> str:
        """Return why a split may have no image, and what would do."""

    @property
    def _junk_pids(self) -> frozenset[int]:
        return self.junk_pids | self.distractor_pids

    def parse_data(self, data: Sequence[Item]) -> tuple[int, int]:
        """Return the number of different pids and of different camids, 0 of these where none is known."""
        pids, cameras = super().parse_data(data)
        return pids, 0 if self._camera_unknown else cameras

    def show_train(self) -> None:
        """Log the size of the training split, and how it differs from the published one."""
        super().show_train()
        self._log_differences("train")

    def show_test(self) -> None:
        """Log the sizes of query and gallery, and how they differ from the published ones."""
        super().show_test()
        self._log_differences("query", "gallery")

    def _find_folder(self) -> str:
        """Take the first layout that is complete, below the root or in the root itself; return its folder."""
        for below in (True, False):
            for layout in self.layouts:
                self._take(layout)
                place = os.path.join(self.root, self.folder) if below else self.root
                if _missing_from(place, self._wanted()) or not (below or self._may_be_root()):
                    continue
                if not below:
                    usual = os.path.join(self.root, self.folder)
                    logger.warning("%s: no folder %s; taking %s itself for it", type(self).__name__, usual, place)
                if len(self.layouts) > 1:
                    wanted = ", ".join(self._wanted())
                    logger.info("%s: taking %s, in %s (%s)", type(self).__name__, self.folder, place, wanted)
                return place
        raise RuntimeError(self._missing_message())

    def _take(self, layout: Mapping[str, Any]) -> None:
        """Make the attributes of this object those of a layout."""
        for name in {name for one in self.layouts for name in one}:
            setattr(self, name, layout.get(name, getattr(type(self), name)))

    def _may_be_root(self) -> bool:
        return len(self._wanted()) > 1  # a single `images` tells little of what is in it

    def _missing_message(self) -> str:
        looked: dict[str, list[str]] = {}  # place -> what it lacks, for each layout
        wanted: list[str] = []
        for layout in sorted(self.layouts, key=bool):  # that of the class itself, {}, comes first
            self._take(layout)
            names = self._wanted()
            for place in [os.path.join(self.root, self.folder)] + [self.root] * self._may_be_root():
                looked.setdefault(place, []).append(", ".join(_missing_from(place, names)))
            wanted.append("\n".join(f"    {_shown(self.folder, name)}" for name in names))
            wanted[-1] += f"\n  with {self._reads} such as {self.example}" if self.example else ""
        more = [
            self.hint,
            f"Home page: {self.url}" if self.url else "",
            f"Terms: {self.licence}" if self.licence else "",
        ]
        variable = os.environ.get("FASTREID_DATASETS")
        return "\n".join([
            f"The data set {type(self).__name__} is missing. Looked in:",
            *(_said_of(place, missing) for place, missing in looked.items()),
            "Wanted below the folder of all data sets:",
            "\n  or\n".join(wanted),
            *filter(None, more),
            "datasets/README.md of the project describes the layout.",
            f"The folder of all data sets is {self.root!r} (FASTREID_DATASETS is {variable or 'not set'}); "
            "to use another, set the environment variable FASTREID_DATASETS or the config key DATASETS.ROOT.",
        ])  # fmt: skip

    def _list_split(self, split: str) -> Items:
        """List the items of a split, junk left out, with the labels that they have in training or in a test."""
        if not self._has(split):
            return []
        items = [item for item in self._parse(split) if item[1] not in self.junk_pids]
        if not items:
            raise RuntimeError(f"{type(self).__name__}: {split} is empty: {self._empty_message(split)}")
        for path, *labels in items:
            self._check_labels(path, *labels, numbers=split in ("query", "gallery"))
        self._camera_unknown = self._camera_unknown or any(camid is None for _, _, camid in items)
        self._found[split] = (len({pid for _, pid, _ in items}), len(items))
        if split in ("query", "gallery"):
            return [(path, pid, -1 if camid is None else camid) for path, pid, camid in items]
        return [
            (path, f"{self.dataset_name}_{pid}", f"{self.dataset_name}_{0 if camid is None else camid}")
            for path, pid, camid in items
        ]

    def _check_labels(self, path: str, pid: Label, camid: Label, *, numbers: bool) -> None:
        if numbers and (isinstance(pid, str) or isinstance(camid, str)):
            raise ValueError(
                f"{path}: identity {pid!r} and camera {camid!r} of an image of the test must be numbers; rename it, or "
                "let the pattern match digits"
            )
        if isinstance(camid, int) and camid < 0:  # which means elsewhere that no camera is known
            raise ValueError(
                f"{path}: its name says camera {camid + self.first_camera}, but {type(self).__name__} counts "
                f"cameras from {self.first_camera}; rename it, or set first_camera"
            )
        if any(isinstance(number, int) and abs(number) >= 2**63 for number in (pid, camid)):
            raise ValueError(f"{path}: its identity or camera has more digits than fit into 64 bits; rename it")

    def _labels(self, match: re.Match[str]) -> tuple[Label, Label]:
        """Return pid and camid that a match of the pattern tells."""
        camera = _number(match.groupdict().get("cam"))
        return _number(match["pid"]), camera - self.first_camera if isinstance(camera, int) else camera

    def _log_differences(self, *splits: str) -> None:
        different = [
            f"{split} has {self._found[split][0]} identities and {self._found[split][1]} images "
            f"(published: {_published(*self.statistics[split])})"
            for split in splits
            if split in self._found
            and any(
                published not in (None, found)
                for published, found in zip(self.statistics.get(split, ()), self._found[split])
            )
        ]
        if different and self.verbose:
            logger.info("%s is not the published set: %s", type(self).__name__, "; ".join(different))


def _missing_from(place: str, wanted: Iterable[str]) -> list[str]:
    return [name for name in wanted if not os.path.exists(os.path.join(place, name))]


def _said_of(place: str, missing: list[str]) -> str:
    path = os.path.abspath(place)
    if not os.path.isdir(place):
        return f'  "{path}" is not found'
    return f'  "{path}" is there, but has no {", or no ".join(dict.fromkeys(missing))}'


def _shown(folder: str, name: str) -> str:
    """Write a file or folder for the error, a folder with ``/`` at its end."""
    path = folder if name == "." else f"{folder}/{name}"
    return path if name != "." and os.path.splitext(name)[1] else f"{path}/"


def _published(identities: int | None, images: int | None) -> str:
    if identities is not None and images is not None:
        return f"{identities} and {images}"
    return f"{images} images" if identities is None else f"{identities} identities"


def _number(text: str | None) -> Label:
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else text
