"""What there is to store of a data set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..datasets.build import DATASET_REGISTRY, build_dataset
from .index import COMBINED, plain_label

__all__ = ["SPLITS", "Contents", "contents_of"]

SPLITS = ("train", "query", "gallery")
_OF_EVERY_SET = {"self", "root", *SPLITS, "mode", "transform", "combineall", "verbose"}


@dataclass(frozen=True)
class Contents:
    """What is to be stored.

    Args:
        dataset: the name that ``DATASETS.NAMES`` has for the data set.
        splits: ``(img_path, pid, camid)`` of each image, by split: some of :data:`SPLITS`, and perhaps ``COMBINED``.
        written: identities and cameras as their owner wrote them, by split, where the data set tells.
        options: keyword arguments that its class knows, see ``StorageIndex``.
        has_cameras: whether all cameras are known.
    """

    dataset: str
    splits: Mapping[str, Sequence[tuple[Any, ...]]]
    written: Mapping[str, Sequence[tuple[str, str]]]
    options: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    has_cameras: bool = True

    def about(self) -> dict[str, dict[str, Any]]:
        """Say of every image, by its path, what its JSON in a tar says: the first split that has it, its labels there.

        ``label`` is the class of a training image: the place of its pid among the sorted ones of ``train``.
        """
        classes = {pid: number for number, pid in enumerate(sorted({item[1] for item in self.splits.get("train", ())}))}
        found: dict[str, dict[str, Any]] = {}
        for split, items in self.splits.items():
            for path, pid, camid in items:
                if path not in found:
                    found[path] = {"split": split, "pid": plain_label(pid), "camid": plain_label(camid)}
                    if split == "train":
                        found[path]["label"] = classes[pid]
        return found


def contents_of(
    name: str, *, splits: Sequence[str] = SPLITS, root: str = "", options: Mapping[str, Any] | None = None
) -> Contents:
    """List what there is to store of a data set.

    Args:
        name: as in ``DATASETS.NAMES``.
        splits: some of :data:`SPLITS`. With all of them what ``DATASETS.COMBINEALL`` trains on is listed too.
        root: ``DATASETS.ROOT``.
        options: what ``DATASETS.OPTIONS`` says of it.

    Raises:
        ValueError: if a split is not known, all are empty, or an item has more than path, pid and camid.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"--splits must be some of {', '.join(SPLITS)}, got {', '.join(unknown) or 'none'}")
    data = build_dataset(name, root=root, chosen=options)
    lists = {split: getattr(data, split) for split in SPLITS if split in splits}
    if not any(lists.values()):
        raise ValueError(f"{name} has no images of {', '.join(splits)}, so there is nothing to store")
    tells = hasattr(data, "labels_as_written")
    written = {split: data.labels_as_written(split) for split in lists} if tells else {}
    cameras = getattr(data, "get_num_cams", None)
    has_cameras = cameras is None or all(cameras(items) for items in lists.values() if items)
    if set(splits) == set(SPLITS):
        lists[COMBINED] = build_dataset(name, root=root, chosen=options, combineall=True).train
    longer = next((item for items in lists.values() for item in items if len(item) != 3), None)
    if longer is not None:
        raise ValueError(f"{name} has the item {longer!r}; only (img_path, pid, camid) can be stored")
    return Contents(name, lists, written, _options_of(name, data, options or {}), has_cameras)


def _options_of(name: str, data: Any, chosen: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return value and default of the keyword arguments that a data set knows beside those of every one."""
    defaults = dict.fromkeys(chosen)
    for one in type(data).__mro__ if name in DATASET_REGISTRY else ():
        parameters = inspect.signature(one.__init__).parameters.values()
        named = [each for each in parameters if each.default is not each.empty and each.name not in _OF_EVERY_SET]
        defaults |= {each.name: each.default for each in named}
    return {option: (chosen.get(option, default), default) for option, default in sorted(defaults.items())}
