"""``folder:path``: one's own images, a folder per identity."""

from __future__ import annotations

import logging
import os
from typing import Any

from .bases import IMAGE_ENDINGS, image_names
from .build import DATASET_SCHEME_REGISTRY, find_path
from .own import SPLITS, Labelled, OwnDataset

__all__ = ["folder"]

logger = logging.getLogger(__name__)


@DATASET_SCHEME_REGISTRY.register()
def folder(path: str, *, name: str, root: str = "", **options: Any) -> OwnDataset:
    """Read images from ``path/<identity>/``; no cameras are known.

    Where ``path`` has a folder ``train``, ``query``, ``gallery`` or ``test``, the images are in
    ``path/<split>/<identity>/``; otherwise all images are ``train`` and ``test``.

    Args:
        path: relative to the current folder, or to the root.
        name: prefix of the training pids and camids.
        root: folder of all data sets.
        **options: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        FileNotFoundError: if the folder is not there, or holds no image in the right place.
        ValueError: if there is a query without a gallery or the other way round, or one of them beside ``test``.
    """
    place = find_path(path, root, kind="folder")
    subfolders = _subfolders(place)
    parts = [split for split in SPLITS if split in subfolders]
    if not parts:
        images = _images(place, subfolders)
        return OwnDataset({"train": images, "test": images}, name=name, **options)
    others = [subfolder for subfolder in subfolders if subfolder not in SPLITS]
    if others:
        logger.warning("%s: left out %d folders beside %s, such as %s", place, len(others), ", ".join(parts), others[0])
    splits = {split: _images(os.path.join(place, split)) for split in parts}
    return OwnDataset(splits, name=name, **options)


def _images(place: str, identities: list[str] | None = None) -> list[Labelled]:
    """List the images of the folders in ``place``, sorted; log what is in the wrong place."""
    identities = _subfolders(place) if identities is None else identities
    found = {identity: image_names(os.path.join(place, identity)) for identity in identities}
    images = [(os.path.join(place, identity, file), identity, None) for identity in found for file in found[identity]]
    if not images:
        raise FileNotFoundError(
            f"there is no image in {os.path.abspath(place)}/<identity>/ with one of the endings "
            f"{', '.join(IMAGE_ENDINGS)}; make a folder for each identity there and put its images into it"
        )
    empty = [identity for identity, files in found.items() if not files]
    if empty:
        logger.warning("%s: %d folders have no image, such as %s", place, len(empty), empty[0])
    deep = [os.path.join(one, name) for one in identities for name in _subfolders(os.path.join(place, one))]
    if deep:
        logger.warning("%s: left out %d folders inside identities' folders, such as %s", place, len(deep), deep[0])
    loose = image_names(place)
    if loose:
        logger.warning("%s: left out %d images in no identity's folder, such as %s", place, len(loose), loose[0])
    return images


def _subfolders(place: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
