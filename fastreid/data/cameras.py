"""Which camera of a model's list took an image; side information (``MODEL.BACKBONE.WITH_SIE``) reads it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..config import CfgNode
from .labels import labels_as_texts

__all__ = ["UNSEEN", "camera_names", "camera_places", "places_in_test"]

logger = logging.getLogger(__name__)

UNSEEN = -1
"""The place of a camera that the model's list does not have."""


def camera_names(data: Any, split: str) -> list[str]:
    """Return, for each image of a split, the name that its camera has in training, ``<dataset_name>_<number>``.

    Args:
        data: a data set.
        split: ``train``, ``query`` or ``gallery``.

    Returns:
        One name for each item; empty where the camera is not known.
    """
    items = getattr(data, split)
    if split == "train":
        texts = labels_as_texts(data, split, items)  # in training a camera that is not known has a number too
        return [str(item[2]) if camera else "" for item, (_, camera) in zip(items, texts, strict=True)]
    if hasattr(data, "labels_as_written"):  # whose numbers in a test are not those of training
        cameras = [camera for _, camera in data.labels_as_written(split)]
    else:
        cameras = ["" if isinstance(item[2], int) and item[2] < 0 else item[2] for item in items]
    prefix = getattr(data, "label_prefix", getattr(data, "dataset_name", ""))
    return ["" if camera == "" else f"{prefix}_{camera}" for camera in cameras]


def camera_places(cfg: CfgNode, names: Sequence[str], *, training: bool = False) -> list[int] | None:
    """Return the place of each camera in ``MODEL.BACKBONE.SIE_CAMERAS``; :data:`UNSEEN`: it is not there.

    How many images are of such cameras is logged.

    Args:
        cfg: the config.
        names: of the cameras of some images, as :func:`camera_names` tells them.
        training: these are the training images: if the config names no cameras, theirs are meant, sorted.

    Returns:
        A place for each image; ``None``: the model does not want to know.
    """
    node = cfg.MODEL.BACKBONE
    if not node.WITH_SIE:
        return None
    known = node.SIE_CAMERAS or (sorted(set(names) - {""}) if training else [])
    places = {name: place for place, name in enumerate(known)}
    found = [places.get(name, UNSEEN) for name in names]
    if UNSEEN in found:
        logger.log(
            logging.WARNING if training else logging.INFO,
            "%d of %d %s images are of cameras that the model has not seen (MODEL.BACKBONE.SIE_CAMERAS)",
            found.count(UNSEEN),
            len(found),
            "training" if training else "test",
        )
    return found


def places_in_test(cfg: CfgNode, data: Any, items: Sequence[tuple[Any, ...]]) -> list[int] | None:
    """Return :func:`camera_places` of images of a test.

    Args:
        cfg: the config.
        data: the data set.
        items: some of its queries and gallery, in any order.
    """
    if not cfg.MODEL.BACKBONE.WITH_SIE:
        return None
    names: dict[Any, str] = {}
    for split in ("query", "gallery"):
        names.update(zip((item[2] for item in getattr(data, split)), camera_names(data, split), strict=True))
    return camera_places(cfg, [names[item[2]] for item in items])
