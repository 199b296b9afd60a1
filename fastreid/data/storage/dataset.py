from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..datasets.bases import ImageDataset, Item, Items
from ..datasets.build import DATASET_REGISTRY, build_dataset, dataset_labels, dataset_root
from ..stored_path import StorageError
from .index import COMBINED, SplitIndex, StorageIndex, plain_option
from .reader import Storage, open_storage

__all__ = ["StoredDataset", "locate_images", "open_dataset"]

logger = logging.getLogger(__name__)


class StoredDataset(ImageDataset):
    """A data set that ``tools/pack_dataset.py`` stored: the same items in the same order, with ``StoredPath`` as paths.

    Args:
        storage: where it is.
        root: ``DATASETS.ROOT``, which paths begin with as they do in the data set itself.
        label: prefix of the training pids of one's own images; empty: the one that they were stored with.
        **options: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        stored_splits: those that were stored, and ``combined`` for ``DATASETS.COMBINEALL``.

    Raises:
        ValueError: if a split is used that was not stored.
    """

    def __init__(self, storage: Storage, *, root: str = "", label: str = "", **options: Any) -> None:
        self.storage = storage
        self.stored_splits = tuple(storage.index.splits)
        self.dataset_name = label or storage.index.label
        registered = DATASET_REGISTRY.get(storage.index.dataset) if storage.index.dataset in DATASET_REGISTRY else None
        self.label_prefix = getattr(registered, "dataset_name", self.dataset_name)  # of training pids and camids
        self._paths = storage.paths(dataset_root(root))
        if any(split.identities is not None for split in storage.index.splits.values()):
            self.labels_as_written = self._labels_as_written  # as OwnDataset has it; others have not
        super().__init__(*(partial(self._items, split) for split in ("train", "query", "gallery")), **options)

    def combine_all(self) -> None:
        """Train on what ``DATASETS.COMBINEALL`` adds, as it was stored."""
        self._train = partial(self._items, COMBINED)

    def parse_data(self, data: Sequence[Item]) -> tuple[int, int]:
        """Return the number of different pids and of known cameras."""
        pids, cameras = super().parse_data(data)
        return pids, cameras if self.storage.index.has_cameras else 0

    def _labels_as_written(self, split: str) -> list[tuple[str, str]]:
        """Return identity and camera of each image of a split as its owner wrote them; empty: not known."""
        items = self._split(split)
        return list(zip(items.identities or (), items.cameras or (), strict=True))

    @property
    def _title(self) -> str:
        return self.dataset_name

    def _split(self, name: str) -> SplitIndex:
        found = self.storage.index.splits.get(name)
        if found is None:
            there = ", ".join(self.stored_splits)
            what = "DATASETS.COMBINEALL needs all splits" if name == COMBINED else f"there is no {name}"
            raise ValueError(
                f"{self.storage.place} holds only {there} of {self.storage.index.dataset}, but {what}; pack the data "
                "set anew with all splits (tools/pack_dataset.py ... --overwrite), or take it out of DATASETS.STORAGE"
            )
        return found

    def _items(self, split: str) -> Items:
        items = self._split(split)
        paths = (self._paths[number] for number in items.images.tolist())
        pids, camids = map(self._labelled, (items.pids, items.camids))
        return list(zip(paths, pids, camids, strict=True))

    def _labelled(self, labels: Sequence[int | str]) -> Sequence[int | str]:
        """Return labels with this run's prefix: one's own images are called after the path that names them."""
        stored = f"{self.storage.index.label}_"
        if ":" not in self.storage.index.dataset or self.dataset_name == self.storage.index.label:
            return labels
        return [
            f"{self.dataset_name}_{label.removeprefix(stored)}" if isinstance(label, str) else label for label in labels
        ]


def open_dataset(
    name: str,
    *,
    label: str = "",
    root: str = "",
    storage: Sequence[str] = (),
    chosen: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Build the data set that an entry of ``DATASETS.NAMES`` or ``TESTS`` names, from its storage if it has one.

    Args:
        name: as for ``build_dataset``.
        label: likewise.
        root: ``DATASETS.ROOT``.
        storage: ``DATASETS.STORAGE``: packed files and folders of tar shards, seen from the current folder or the root.
        chosen: as for ``build_dataset``.
        **options: passed on.

    Raises:
        StorageError: if one of ``storage`` is not there, cut off, damaged, or something else.
        ValueError: if two of them hold the data set, or one does that was made with other options than these.
    """
    opened = [open_storage(_place(path, root)) for path in storage]
    of_name = [one for one in opened if one.index.dataset == name]
    asked = {**options, **(chosen or {})}
    found = [one for one in of_name if not _differences(one.index, asked, chosen or {})]
    if of_name and not found:
        index = of_name[0].index
        raise ValueError(
            f"{name} was stored in {of_name[0].place} with other options: "
            f"{'; '.join(_differences(index, asked, chosen or {}))}; pack it with these (tools/pack_dataset.py "
            "--options), or take the storage out of DATASETS.STORAGE"
        )
    if len(found) > 1:
        raise ValueError(
            f"DATASETS.STORAGE has {name} twice, in {found[0].place} and {found[1].place}; take one of them out"
        )
    if not found:
        if storage:
            logger.info("%s is in none of DATASETS.STORAGE (%s): it is read from its files", name, ", ".join(storage))
        return build_dataset(name, label=label, root=root, chosen=chosen, **options)
    index = found[0].index
    logger.info("%s is read from %s: %s, %d images", name, found[0].place, index.kind, len(index.paths))
    others = {option: value for option, value in options.items() if option not in index.options}
    return StoredDataset(found[0], root=root, label=label or dataset_labels([name])[name], **others)


def locate_images(img_paths: Sequence[str], storage: Sequence[str], *, root: str = "") -> Sequence[str]:
    """Return paths, as results and features name them, so that ``read_image`` finds the images that are stored.

    Args:
        img_paths: as a data set of ``DATASETS.ROOT`` gives them.
        storage: ``DATASETS.STORAGE``, as in :func:`open_dataset`.
        root: ``DATASETS.ROOT``.

    Raises:
        StorageError: as in :func:`open_dataset`.
    """
    known = {path: path for place in storage for path in open_storage(_place(place, root)).paths(dataset_root(root))}
    return [known.get(path, path) for path in img_paths] if known else img_paths


def _differences(index: StorageIndex, asked: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """Say which options of the data set a storage was not made with."""
    found = [f"{option} is chosen, which it does not know" for option in chosen if option not in index.options]
    for option, (stored, default) in index.options.items():
        wanted = plain_option(asked.get(option, default))
        if wanted != stored:
            found.append(f"{option} was {stored!r} and is {wanted!r}")
    return found


def _place(path: str, root: str) -> str:
    places = list(dict.fromkeys([os.path.expanduser(path), os.path.join(dataset_root(root), os.path.expanduser(path))]))
    for place in places:
        if os.path.exists(place):
            return place
    looked = " and ".join(repr(os.path.abspath(place)) for place in places)
    raise StorageError(
        f"{path!r}, which DATASETS.STORAGE names, is not found: looked for {looked}; make it with "
        "tools/pack_dataset.py, correct the path, or leave it out to read the files"
    )
