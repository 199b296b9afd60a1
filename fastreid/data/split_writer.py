"""Write a split as a table, or as folders of images: completely or not at all."""

from __future__ import annotations

import csv
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from .datasets.bases import IMAGE_ENDINGS
from .labels import natural_key
from .splitting import ImageOf, Split

__all__ = ["HOW", "How", "write_split"]

How = Literal["csv", "copy", "symlink"]
HOW: tuple[How, ...] = ("csv", "copy", "symlink")

_MARKET_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_LIST = "images.csv"


def write_split(split: Split, folder: str, *, how: How = "csv") -> str:
    """Write a split into a new folder.

    Args:
        split: what to write.
        folder: must not exist, or be empty.
        how: ``csv``: a table that names the images where they are. ``copy`` or ``symlink``: the images themselves, or
            links to them, as ``market:`` reads them, or as ``folder:`` does where no camera is known; and
            ``images.csv``, which tells where each came from.

    Returns:
        The name by which ``DATASETS.NAMES`` and ``DATASETS.TESTS`` know it.

    Raises:
        FileExistsError: if the folder has something in it.
        OSError: if it cannot be written, or an image cannot be read; nothing is left behind.
        ValueError: if what would be written could not be read as it is: no query has a true match, an identity cannot
            be in a table or the name of a folder, where it would have to be, or an image that is copied or linked has
            an ending that no image has.
    """
    place = Path(folder).expanduser()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FileExistsError(f"{place} is there and not empty; name another folder, or remove it")
    has_cameras = any(image.camera for image in [*split.train, *split.query, *split.gallery])
    _check_queries(split, has_cameras=has_cameras)
    aside = place.absolute().with_name(f".{place.absolute().name}-unfinished-{secrets.token_hex(4)}")
    aside.mkdir(parents=True)
    try:
        if how == "csv":
            final = Path(os.path.realpath(place))
            _write_table(split, aside / f"{final.name}.csv", final=final, has_cameras=has_cameras)
            name = f"csv:{(place / final.name).as_posix()}.csv"
        else:
            targets = _market_names(split) if has_cameras else _folder_names(split)
            _write_images(list(targets), aside, link=how == "symlink")
            name = f"{'market' if has_cameras else 'folder'}:{place.as_posix()}"
        if place.exists():
            place.rmdir()
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return name


def _check_queries(split: Split, *, has_cameras: bool) -> None:
    if all(image.identity in split.open_set for image in split.query):
        why = "one camera or one image; leave the cameras out (column camid)" if has_cameras else "one image; add some"
        raise ValueError(
            f"no query has a true match, so there is nothing to test: each of the {len(split.without_query)} test "
            f"identities in the gallery has only {why}, or choose another seed or more test identities"
        )


def _parts(split: Split) -> dict[str, Sequence[ImageOf]]:
    return {"train": split.train, "query": split.query, "gallery": split.gallery}


def _write_table(split: Split, path: Path, *, final: Path, has_cameras: bool) -> None:
    """Write the table that ``csv:`` reads; its paths are relative to the folder ``final`` that it will be in."""
    nobody = "nobody"  # shared by all distractors: no query is of them
    while any(image.identity == nobody for part in _parts(split).values() for image in part):
        nobody += "_"
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "pid", *(["camid"] if has_cameras else []), "split"])
        for name, images in _parts(split).items():
            for image in images:
                if image.identity != image.identity.strip():
                    raise ValueError(
                        f"the identity {image.identity!r} begins or ends with a space, which a table does not keep; "
                        "rename it"
                    )
                camera = [image.camera] if has_cameras else []
                table.writerow([_relative(image.path, final), image.identity or nobody, *camera, name])


def _relative(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return Path(path).as_posix()


def _market_names(split: Split) -> Iterator[tuple[ImageOf, str, str]]:
    """Yield each image, its split, and its path in the layout of Market-1501."""
    pids = _numbers({image.identity for image in [*split.train, *split.query, *split.gallery]} - {""})
    cameras = sorted({image.camera for image in [*split.train, *split.query, *split.gallery]}, key=natural_key)
    numbers = {camera: place for place, camera in enumerate(cameras, start=1)}
    seen = Counter()
    for name, images in _parts(split).items():
        for image in images:
            pid, camera = pids.get(image.identity, 0), numbers[image.camera]
            file = f"{pid:04d}_c{camera}s1_{seen[pid, camera]:06d}_00{Path(image.path).suffix.lower()}"
            seen[pid, camera] += 1
            yield image, name, f"{_MARKET_FOLDERS[name]}/{file}"


def _numbers(identities: set[str]) -> dict[str, int]:
    """Number identities from 1; those that are different numbers above 0 keep them."""
    numbers = {identity: int(identity) for identity in identities if identity.isdecimal()}
    if len(set(numbers.values())) == len(identities) and 0 not in numbers.values():
        return numbers
    return {identity: place for place, identity in enumerate(sorted(identities, key=natural_key), start=1)}


def _folder_names(split: Split) -> Iterator[tuple[ImageOf, str, str]]:
    """Yield each image, its split, and its path with a folder for each identity."""
    seen = Counter()
    for name, images in _parts(split).items():
        for image in images:
            identity = image.identity or "nobody"
            if identity.startswith(".") or re.search(r'[<>:"/\\|?*\x00-\x1f]', identity):
                raise ValueError(f"the identity {identity!r} cannot be the name of a folder; write a table, with --csv")
            yield image, name, f"{name}/{identity}/{seen[identity]:06d}{Path(image.path).suffix.lower()}"
            seen[identity] += 1


def _write_images(targets: Sequence[tuple[ImageOf, str, str]], folder: Path, *, link: bool) -> None:
    with open(folder / _LIST, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "source", "pid", "camid", "split"])
        for image, name, path in targets:
            if not path.endswith(IMAGE_ENDINGS):
                raise ValueError(
                    f"{image.path} would be overlooked in a folder, where images end in {', '.join(IMAGE_ENDINGS)}; "
                    "rename it, or write a table, with --csv"
                )
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if link:
                (folder / path).symlink_to(image.path)
            else:
                shutil.copyfile(image.path, folder / path)
            table.writerow([path, image.path, image.identity, image.camera, name])
