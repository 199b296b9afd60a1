"""Suspects of a folder of features, with the labels as their owner wrote them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...data.datasets import pids_of_nobody
from ..feature_folder import FeatureFolder, Labels
from .find import find_label_suspects
from .suspect import Suspect

__all__ = ["FolderLabels", "find_suspects_in_folder", "read_folder_labels"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FolderLabels:
    """The labels of a folder's images as numbers that are the same in all its splits.

    Args:
        pids: ``(N,)`` int64, places in ``names``.
        names: the identities: as their owner wrote them, else the pids of the data set, such as ``7`` in query and
            gallery and ``market1501_7`` in training.
        camids: ``(N,)`` int64, places in ``cameras``; -1: not known.
        cameras: likewise; a camera of a registered set has one number in all splits.
        nobody: pids that are no identity: distractors and junk of the data set, and images without a label.
    """

    pids: np.ndarray
    names: tuple[str, ...]
    camids: np.ndarray
    cameras: tuple[str, ...]
    nobody: frozenset[int]


def read_folder_labels(folder: FeatureFolder, nobody: Iterable[str] | None = None) -> FolderLabels:
    """Number the identities and cameras of a folder.

    Args:
        folder: of features.
        nobody: identities that are none, by their names; ``None``: those that the data set marks so.
    """
    if nobody is None:
        nobody = map(str, pids_of_nobody(folder.meta["dataset"]["name"]))
    identities = _as_written(folder.labels["identity"], folder.labels["pid"])
    pids, names = identities.codes, identities.names
    cameras = _as_written(folder.labels["camera"], folder.labels["camid"])
    # a camera that is not known is empty, or a number below 0; that of a training set is <set>_<number>
    texts = [text if folder.labels["camera"].used() - {""} else text.rpartition("_")[2] for text in cameras.names]
    known = sorted({text for text in texts if text and not text.startswith("-")})
    numbers = {text: number for number, text in enumerate(known)}
    table = np.array([numbers.get(text, -1) for text in texts], dtype=np.int64)
    is_nobody = {"", *nobody}
    return FolderLabels(
        pids=pids,
        names=names,
        camids=table[cameras.codes],
        cameras=tuple(known),
        nobody=frozenset(number for number, name in enumerate(names) if name in is_nobody),
    )


def find_suspects_in_folder(
    folder: FeatureFolder, *, nobody: Iterable[str] | None = None, pids: np.ndarray | None = None, **options: Any
) -> tuple[list[Suspect], FolderLabels]:
    """Find the suspects among all images of a folder, whatever their split.

    A file that is listed more than once, in training and in the test, counts where it is first.

    Args:
        folder: of features.
        nobody: as in :func:`read_folder_labels`.
        pids: ``(N,)`` int64 to take instead of those of the folder.
        **options: of :func:`find_label_suspects`.

    Returns:
        The suspects, by the places of their images in the folder, and the labels that their pids mean.

    Raises:
        ValueError: as :func:`find_label_suspects`.
    """
    labels = read_folder_labels(folder, nobody)
    labels = labels if pids is None else replace(labels, pids=pids)
    first: dict[str, int] = {}
    for place, path in enumerate(folder.img_paths):
        first.setdefault(os.path.abspath(path), place)
    places = np.array(list(first.values()), dtype=np.int64)
    if len(places) < len(folder):
        logger.warning("%d images are listed more than once; they count once", len(folder) - len(places))
        folder = folder.take(places)
    logger.info(
        "Comparing %d images of %d identities; %d images are of nobody (%s)",
        len(places),
        len(np.unique(labels.pids[places][~np.isin(labels.pids[places], list(labels.nobody))])),
        np.isin(labels.pids[places], list(labels.nobody)).sum(),
        ", ".join(sorted(repr(labels.names[pid]) for pid in labels.nobody)) or "none is marked",
    )
    found = find_label_suspects(
        torch.from_numpy(folder.features),
        labels.pids[places],
        labels.camids[places],
        folder.labels["split"].codes,
        nobody=labels.nobody,
        **options,
    )
    return [_moved(suspect, places) for suspect in found], labels


def _as_written(own: Labels, numbers: Labels) -> Labels:
    return own if own.used() - {""} else numbers


def _moved(suspect: Suspect, places: np.ndarray) -> Suspect:
    """Name images by their place in the folder."""
    own, other = (
        tuple(replace(match, image=int(places[match.image])) for match in side) for side in (suspect.own, suspect.other)
    )
    return replace(suspect, images=tuple(places[list(suspect.images)].tolist()), own=own, other=other)
