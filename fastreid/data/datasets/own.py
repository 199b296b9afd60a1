"""Images of one's own, whichever way their labels were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bases import ImageDataset, Item

__all__ = ["SPLITS", "Labelled", "OwnDataset"]

SPLITS = ("train", "query", "gallery", "test")
Labelled = tuple[str, str, str | None]  # img_path, identity, camera or None: unknown


class OwnDataset(ImageDataset):
    """Images whose identities and cameras are any text; cameras may be unknown.

    Equal texts are the same identity and the same camera in all splits. In ``query`` and ``gallery`` identities and
    cameras are numbered, sorted as text; an unknown camera is -1. In ``train`` all unknown cameras are one, number 0.

    Args:
        splits: ``train``, and either ``query`` and ``gallery`` or ``test``, each a list of ``(img_path, identity,
            camera)``. Of ``test``, the first image of each identity that has at least two is a query, and all other
            images are the gallery; the first by the path's place in sorted order. An image may be in ``train`` and
            ``test``.
        name: prefix of the training pids and camids.
        **options: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        ValueError: if there is a query without a gallery or the other way round, or one of them beside ``test``.
    """

    def __init__(self, splits: Mapping[str, Sequence[Labelled]], *, name: str, **options: Any) -> None:
        self.dataset_name = name
        query, gallery = _test_splits(name, splits)
        self._test = [*query, *gallery]
        self._query_count = len(query)
        train = splits.get("train", ())
        self._has_cameras = all(camera is not None for _, _, camera in [*train, *self._test])
        pids = _numbers(identity for _, identity, _ in self._test)
        camids = {**_numbers(camera for _, _, camera in self._test if camera is not None), None: -1}
        self._labelled_train = list(train)
        super().__init__(
            [self._name_labels(labelled) for labelled in train],
            *([(path, pids[identity], camids[camera]) for path, identity, camera in part] for part in (query, gallery)),
            **options,
        )

    def labels_as_written(self, split: str) -> list[tuple[str, str]]:
        """Return identity and camera of each image of ``train``, ``query`` or ``gallery`` as its owner wrote them.

        A camera that is not known is empty.
        """
        labelled = {
            "train": self._labelled_train,
            "query": self._test[: self._query_count],
            "gallery": self._test[self._query_count :],
        }[split]
        return [(identity, "" if camera is None else camera) for _, identity, camera in labelled]

    @property
    def _title(self) -> str:
        return self.dataset_name

    def parse_data(self, data: Sequence[Item]) -> tuple[int, int]:
        """Return the number of different pids and of known cameras."""
        pids, cameras = super().parse_data(data)
        return pids, cameras if self._has_cameras else 0

    def combine_all(self) -> None:
        """Train on the images of query and gallery too; an identity of several splits is one."""
        paths = {item[0] for item in self.train}
        added = {labelled[0]: labelled for labelled in self._test if labelled[0] not in paths}
        self._train = [*self.train, *map(self._name_labels, added.values())]

    def _name_labels(self, labelled: Labelled) -> Item:
        path, identity, camera = labelled
        return path, f"{self.dataset_name}_{identity}", f"{self.dataset_name}_{0 if camera is None else camera}"


def _numbers(texts: Iterable[str]) -> dict[str | None, int]:
    return {text: number for number, text in enumerate(sorted(set(texts)))}


def _test_splits(name: str, splits: Mapping[str, Sequence[Labelled]]) -> tuple[list[Labelled], list[Labelled]]:
    query, gallery, test = (list(splits.get(split, ())) for split in ("query", "gallery", "test"))
    if test and (query or gallery):
        raise ValueError(
            f"{name} has images of the split test beside query or gallery; use test alone, or the other two"
        )
    if bool(query) != bool(gallery):
        there, missing = ("query", "gallery") if query else ("gallery", "query")
        raise ValueError(f"{name} has images of the split {there}, but none of {missing}; add some, or call all test")
    if not test:
        return query, gallery
    by_identity: dict[str, list[Labelled]] = {}
    for labelled in sorted(test, key=lambda labelled: labelled[0]):
        by_identity.setdefault(labelled[1], []).append(labelled)
    groups = list(by_identity.values())
    query = [group[0] for group in groups if len(group) > 1]
    return query, [labelled for group in groups for labelled in group[len(group) > 1 :]]
