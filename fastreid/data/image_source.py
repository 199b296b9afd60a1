"""The images that features are taken of: of a data set, in a folder, in a list, or named one by one."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .cameras import camera_names
from .datasets.bases import IMAGE_ENDINGS, check_listed
from .datasets.build import DATASET_REGISTRY, dataset_labels, dataset_options
from .storage.dataset import open_dataset

__all__ = ["SPLITS", "ImageSource", "SourceImage", "find_images", "list_images"]

SPLITS = ("query", "gallery", "train")


@dataclass(frozen=True)
class SourceImage:
    """An image, and what is known of it.

    Args:
        img_path: of the image.
        pid: its identity in the data set: an int, or a string in a training split; ``None``: not known.
        camid: likewise its camera.
        split: ``query``, ``gallery``, ``train``, or empty.
        identity: the identity as its owner wrote it; empty: it is the ``pid``.
        camera: likewise.
        camera_name: of its camera in training; empty: not known.
    """

    img_path: str
    pid: int | str | None = None
    camid: int | str | None = None
    split: str = ""
    identity: str = ""
    camera: str = ""
    camera_name: str = ""


@dataclass(frozen=True)
class ImageSource:
    """Images in their order.

    Args:
        name: as it was given.
        label: a short name.
        images: the images, at least one.
    """

    name: str
    label: str
    images: Sequence[SourceImage]


def find_images(
    name: str,
    *,
    root: str = "",
    splits: Sequence[str] = ("query", "gallery"),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    storage: Sequence[str] = (),
) -> ImageSource:
    """List the images that a name means.

    Args:
        name: what ``DATASETS.TESTS`` may have, a registered data set or ``scheme:path``; or the path of a folder, of
            which all images are taken, those in its subfolders too, sorted; or the path of a text file with the path of
            an image on each line, relative to the file.
        root: ``DATASETS.ROOT``.
        splits: of a data set: some of :data:`SPLITS`, in this order.
        options: ``DATASETS.OPTIONS``.
        storage: ``DATASETS.STORAGE``, where a data set may be.

    Raises:
        KeyError: if the name is none of these.
        FileNotFoundError: if there is no image, or one that is listed is not there.
        ValueError: if there is no such split, or a list is a table.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown or not splits:
        raise ValueError(f"splits must be some of {', '.join(SPLITS)}, got {', '.join(splits) or 'none'}")
    label = dataset_labels([name])[name]
    if ":" not in name and name not in DATASET_REGISTRY and os.path.exists(os.path.expanduser(name)):
        path = os.path.expanduser(name)
        found = _in_folder(path) if os.path.isdir(path) else _in_list(path)
        return ImageSource(name, os.path.basename(os.path.abspath(path)), [SourceImage(image) for image in found])
    if ":" not in name and name not in DATASET_REGISTRY and os.sep in name:
        raise FileNotFoundError(f"there is no folder or list {name!r} (looked for {os.path.abspath(name)})")
    chosen = dataset_options(options or {}, name)
    data = open_dataset(name, label=label, root=root, chosen=chosen, storage=storage)
    images = [image for split in splits for image in _of_split(data, split)]
    if not images:
        raise FileNotFoundError(f"{name} has no images of {', '.join(splits)}")
    return ImageSource(name, label, images)


def list_images(names: Sequence[str]) -> list[str]:
    """List the images that paths, folders and patterns mean, each once, in the order of the names.

    Args:
        names: paths of images, of any ending; of folders, of which all images are taken, those in subfolders too,
            sorted; or patterns such as ``crops/*.jpg`` or ``crops/**/a*``, of whose matches those files are taken,
            sorted, that have the ending of an image.

    Raises:
        FileNotFoundError: if a name means no image.
    """
    found: dict[str, str] = {}
    for name in names:
        for path in _named(os.path.expanduser(name)):
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def _named(name: str) -> list[str]:
    if os.path.isdir(name):
        return _in_folder(name)
    if os.path.exists(name):
        return [name]
    if not glob.has_magic(name):
        raise FileNotFoundError(f"there is no image or folder {name!r} (looked for {os.path.abspath(name)})")
    matches = sorted(glob.glob(name, recursive=True))
    images = [path for path in matches if os.path.isfile(path) and path.lower().endswith(IMAGE_ENDINGS)]
    if not images:
        raise FileNotFoundError(
            f"no image matches {name!r} (looked in {os.getcwd()}, for the endings {', '.join(IMAGE_ENDINGS)})"
        )
    return images


def _of_split(data: Any, split: str) -> list[SourceImage]:
    items = getattr(data, split)
    written = data.labels_as_written(split) if hasattr(data, "labels_as_written") else [("", "")] * len(items)
    return [
        SourceImage(path, pid, camid, split, *texts, camera)
        for (path, pid, camid, *_), texts, camera in zip(items, written, camera_names(data, split), strict=True)
    ]


def _in_folder(folder: str) -> list[str]:
    found = []
    for place, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        images = sorted(name for name in files if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith("."))
        found += [os.path.join(place, name) for name in images]
    if not found:
        raise FileNotFoundError(
            f"there is no image in {os.path.abspath(folder)} or its subfolders with one of the endings "
            f"{', '.join(IMAGE_ENDINGS)}"
        )
    return found


def _in_list(path: str) -> list[str]:
    if path.lower().endswith(".csv"):
        raise ValueError(f"{path!r} is a table; write csv:{path}, see docs/data.md")
    folder = os.path.dirname(path)
    with open(path, encoding="utf-8-sig") as file:
        found = [os.path.join(folder, line.strip()) for line in file if line.strip()]
    if not found:
        raise FileNotFoundError(f"{path} lists no image; write the path of one on each line")
    check_listed(path, found, folder=folder or ".")
    return found
