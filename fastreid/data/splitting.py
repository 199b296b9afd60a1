"""Cut one's own images into train, query and gallery by identity."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .datasets.build import DATASET_REGISTRY, build_dataset
from .labels import labels_as_texts

__all__ = ["ImageOf", "Split", "images_of", "split_by_identity"]


@dataclass(frozen=True, order=True)
class ImageOf:
    """An image of somebody.

    Args:
        path: of the file.
        identity: any text; empty: nobody, who is never trained on or looked for (a distractor).
        camera: any text; empty: not known.
    """

    path: str
    identity: str
    camera: str = ""


@dataclass(frozen=True)
class Split:
    """Images for training, and for a test.

    Args:
        train, query, gallery: each sorted by path.
        open_set: the identities of queries that the gallery does not have, sorted.
        without_query: the other identities of the test of which no image became a query, sorted.
    """

    train: Sequence[ImageOf]
    query: Sequence[ImageOf]
    gallery: Sequence[ImageOf]
    open_set: Sequence[str]
    without_query: Sequence[str]


def images_of(source: str, *, root: str = "", options: Mapping[str, Any] | None = None) -> list[ImageOf]:
    """List all images of a data set, whatever its splits are, each file once.

    Args:
        source: a folder with a folder for each identity; or a name as in ``DATASETS.NAMES``.
        root: ``DATASETS.ROOT``.
        options: what ``DATASETS.OPTIONS`` says of it.

    Raises:
        KeyError, OSError, RuntimeError, ValueError: if it cannot be listed; ``ValueError`` also if a file has two
            identities or cameras.
    """
    name = f"folder:{source}" if os.path.isdir(os.path.expanduser(source)) else source
    if ":" not in name and name not in DATASET_REGISTRY:
        raise FileNotFoundError(f"{source!r} is neither a folder nor a registered data set; csv:... names a table")
    dataset = build_dataset(name, root=root, chosen=options)
    nobody = {str(pid) for pid in getattr(dataset, "distractor_pids", ())}
    found: dict[str, ImageOf] = {}
    for split in ("train", "query", "gallery"):
        items = getattr(dataset, split)
        for (path, *_), (identity, camera) in zip(items, labels_as_texts(dataset, split, items), strict=True):
            image = ImageOf(os.path.abspath(path), "" if identity in nobody else identity, camera)
            first = found.setdefault(image.path, image)
            if first != image:
                raise ValueError(
                    f"{path} is listed as identity {first.identity!r} by camera {first.camera!r}, and as {identity!r} "
                    f"by {camera!r}; give an image one of each"
                )
    return list(found.values())


def split_by_identity(
    images: Iterable[ImageOf],
    *,
    seed: int = 0,
    test_share: float = 0.3,
    test_identities: int | None = None,
    query_per_camera: int = 1,
    open_set_share: float = 0.0,
) -> Split:
    """Keep some identities for the test, and choose queries among their images.

    All images of an identity are in training or in the test, never in both. The identities, sorted as text, are
    shuffled by ``random.Random(seed)``; the first of them are the test's, and the first of these the open set's.

    Queries of an identity with several cameras are ``query_per_camera`` images of each camera, fewer where none would
    be left for the gallery: so each has a true match by another camera. If every camera has one image, one of them is
    the query. Where no camera is known, they are ``query_per_camera`` of all images of an identity, again fewer where
    none would be left. The rest is the gallery, with all images of an identity that has only one camera, or one image,
    and of nobody. All images of an identity of the open set are queries.

    The result depends on the images and the seed, not on the order of the images. Which images of an identity are
    queries does not depend on the other identities.

    Args:
        images: each path once; of all or of none the camera is known.
        seed: of all draws.
        test_share: of the identities, above 0 and below 1; rounded, and at least one remains on each side.
        test_identities: number of identities of the test instead.
        query_per_camera: at least 1.
        open_set_share: of the identities of the test, at least 0 and below 1; rounded, and at least one is in the
            gallery.

    Raises:
        ValueError: if an argument is out of its range, there are less than two identities, a path is there twice, or
            the cameras of some images are known and those of others are not.
    """
    images = sorted(images)
    identities = sorted({image.identity for image in images if image.identity})
    _check(images, identities, query_per_camera, open_set_share)
    number = _number_of_test_identities(len(identities), test_share, test_identities)
    random.Random(seed).shuffle(identities)
    test, open_set = set(identities[:number]), set(identities[: min(round(open_set_share * number), number - 1)])
    by_identity: dict[str, list[ImageOf]] = {identity: [] for identity in test}
    for image in images:
        if image.identity in test:
            by_identity[image.identity].append(image)
    chosen = set()
    for identity, own in by_identity.items():
        draw = random.Random(f"{seed} {identity}")
        chosen.update(own if identity in open_set else _queries(own, draw, query_per_camera))
    return Split(
        train=[image for image in images if image.identity and image.identity not in test],
        query=[image for image in images if image in chosen],
        gallery=[image for image in images if image.identity in {*test, ""} and image not in chosen],
        open_set=sorted(open_set),
        without_query=sorted(test - {image.identity for image in chosen}),
    )


def _queries(images: Sequence[ImageOf], draw: random.Random, number: int) -> list[ImageOf]:
    """Choose the queries among the sorted images of one identity."""
    cameras = sorted({image.camera for image in images})
    if len(cameras) == 1 and cameras[0]:
        return []
    if len(cameras) == len(images) > 1:
        return [draw.choice(images)]
    by_camera = [[image for image in images if image.camera == camera] for camera in cameras]
    return [image for own in by_camera for image in draw.sample(own, min(number, len(own) - 1))]


def _number_of_test_identities(total: int, share: float, number: int | None) -> int:
    if number is None:
        if not 0 < share < 1:
            raise ValueError(f"test_share must be above 0 and below 1, got {share}")
        return min(max(round(share * total), 1), total - 1)
    if not 0 < number < total:
        raise ValueError(f"test_identities must be from 1 to {total - 1} of the {total} identities, got {number}")
    return number


def _check(images: Sequence[ImageOf], identities: Sequence[str], query_per_camera: int, open_set_share: float) -> None:
    if len(identities) < 2:
        raise ValueError(f"a split by identity needs at least 2 identities, got {len(identities)}")
    if query_per_camera < 1:
        raise ValueError(f"query_per_camera must be at least 1 image, got {query_per_camera}")
    if not 0 <= open_set_share < 1:
        raise ValueError(f"open_set_share must be at least 0 and below 1, got {open_set_share}")
    path, count = Counter(image.path for image in images).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path} is there {count} times; list each image once")
    unknown = sum(not image.camera for image in images)
    if 0 < unknown < len(images):
        raise ValueError(
            f"the cameras of {unknown} of {len(images)} images are not known; give those of all or of none"
        )
