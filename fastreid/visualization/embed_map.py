"""A map of embeddings: each image a point, near to those that the model finds alike."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import numpy as np

from ..data.labels import natural_key
from ..evaluation.feature_folder import FeatureFolder
from ..evaluation.label_suspects import read_folder_labels
from .projection import project

__all__ = ["COLOURED_BY", "EmbedMap", "LabelColumn", "build_embed_map", "choose_images"]

logger = logging.getLogger(__name__)

COLOURED_BY = ("identity", "camera", "split")
"""What may colour the points."""

_METHODS = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """Labels of N images.

    Args:
        names: the different labels, in the order of a legend.
        codes: ``(N,)`` int64, places in ``names``; -1: of nobody, or not known.
    """

    names: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True, eq=False)
class EmbedMap:
    """N images on a plane.

    Args:
        points: ``(N, 2)`` float64 between -1 and 1.
        img_paths: N paths.
        labels: by :data:`COLOURED_BY`.
        method: that made it, a name in ``PROJECTIONS``.
        total: images that there are, of which N were chosen.
        seed: of the choice and of the method.
        source: what the images are.
    """

    points: np.ndarray
    img_paths: tuple[str, ...]
    labels: dict[str, LabelColumn]
    method: str
    total: int
    seed: int
    source: str

    @property
    def title(self) -> str:
        """Say what is shown."""
        return f"{_METHODS.get(self.method, self.method)} of {self.source}"

    @property
    def note(self) -> str:
        """Say which images are shown."""
        shown = len(self.img_paths)
        if shown == self.total:
            return f"all {shown} images"
        identities = len(np.unique(self.labels["identity"].codes[self.labels["identity"].codes >= 0]))
        return f"{shown} of {self.total} images: {identities} identities drawn at random (seed {self.seed})"


def choose_images(identities: np.ndarray, most: int, *, seed: int = 0) -> np.ndarray:
    """Choose whole identities at random, as many as there is room for; images of nobody count one by one.

    Args:
        identities: ``(N,)`` int64; below 0: of nobody.
        most: images to choose, at least 1. Only if not a single identity is as small as that, a part of one is taken.
        seed: of the draw.

    Returns:
        Places, ascending, int64.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    if len(identities) <= most:
        return np.arange(len(identities))
    alone = identities < 0
    groups = np.where(alone, identities.max(initial=0) + 1 + np.arange(len(identities)), identities)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    chosen: list[np.ndarray] = []
    room = most
    shuffled = [members[number] for number in np.random.default_rng(seed).permutation(len(members))]
    for group in shuffled:
        if len(group) <= room:
            chosen.append(group)
            room -= len(group)
    return np.sort(np.concatenate(chosen) if chosen else shuffled[0][:most])


def build_embed_map(folder: FeatureFolder, *, method: str = "tsne", max_images: int = 5000, seed: int = 0) -> EmbedMap:
    """Lay the images of a folder of features out on a plane.

    Args:
        folder: of features.
        method: a name in ``PROJECTIONS``.
        max_images: of more, whole identities are drawn, see :func:`choose_images`.
        seed: of that draw, and of the method.

    Raises:
        ValueError: as :func:`choose_images` and ``project``.
        ImportError: likewise.
    """
    labels = read_folder_labels(folder)
    identities = np.where(np.isin(labels.pids, list(labels.nobody)), -1, labels.pids)
    places = choose_images(identities, max_images, seed=seed)
    chosen = folder.take(places)
    splits = chosen.labels["split"]
    columns = {
        "identity": _column(labels.names, identities[places]),
        "camera": _column(labels.cameras, labels.camids[places]),
        "split": _column(splits.names, np.where(np.array(splits.names)[splits.codes] == "", -1, splits.codes)),
    }
    logger.info("Laying out %d of %d images by %s", len(places), len(folder), method)
    return EmbedMap(
        points=project(np.asarray(chosen.features), method, seed=seed),
        img_paths=tuple(chosen.img_paths),
        labels=columns,
        method=method,
        total=len(folder),
        seed=seed,
        source=str(folder.meta["dataset"].get("label", "")) or os.path.basename(os.path.abspath(folder.path)),
    )


def _column(names: tuple[str, ...], codes: np.ndarray) -> LabelColumn:
    """Keep the names that are used, numbers in the order of their values."""
    used = sorted({names[code] for code in np.unique(codes[codes >= 0]).tolist()}, key=natural_key)
    numbers = {name: number for number, name in enumerate(used)}
    table = np.array([numbers.get(name, -1) for name in names] + [-1], dtype=np.int64)  # the last: -1 stays -1
    return LabelColumn(tuple(used), table[codes])
