"""Suspects as a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from typing import Any

from ..feature_folder import FeatureFolder, Labels
from .of_folder import FolderLabels
from .suspect import Match, Suspect, describe

__all__ = ["CSV_COLUMNS", "suspect_row", "write_suspects_csv"]

CSV_COLUMNS = (
    "rank",
    "kind",
    "score",
    "evidence",
    "identities",
    "suggested",
    "images",
    "splits",
    "cameras",
    "places",
    "own_matches",
    "other_matches",
)
"""The columns of the file; where a cell has several values, they are lines of it."""


def suspect_row(rank: int, suspect: Suspect, folder: FeatureFolder, labels: FolderLabels) -> dict[str, str]:
    """Return a suspect as text, by :data:`CSV_COLUMNS`.

    Args:
        rank: from 1.
        suspect: with images by their place in the folder.
        folder: of the features.
        labels: what its pids and camids mean.
    """
    splits: Labels = folder.labels["split"]
    images = suspect.images
    return {
        "rank": str(rank),
        "kind": suspect.kind,
        "score": f"{suspect.score:.3f}",
        "evidence": describe(suspect, labels.names.__getitem__),
        "identities": _lines(labels.names[pid] for pid in suspect.pids),
        "suggested": "" if suspect.suggested is None else labels.names[suspect.suggested],
        "images": _lines(folder.img_paths[image] for image in images),
        "splits": _lines(splits.names[splits.codes[image]] for image in images),
        "cameras": _lines(_camera(labels, image) for image in images),
        "places": _lines(images),
        "own_matches": _lines(_match(folder, match) for match in suspect.own),
        "other_matches": _lines(_match(folder, match) for match in suspect.other),
    }


def write_suspects_csv(
    path: str | os.PathLike[str], suspects: Sequence[Suspect], folder: FeatureFolder, labels: FolderLabels
) -> None:
    """Write a row a suspect, UTF-8, as RFC 4180 has it; folders are made.

    Args:
        path: of the file.
        suspects: the first one has rank 1.
        folder: of the features.
        labels: what its pids and camids mean.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, CSV_COLUMNS)
        table.writeheader()
        table.writerows(suspect_row(rank, suspect, folder, labels) for rank, suspect in enumerate(suspects, start=1))


def _lines(values: Iterable[Any]) -> str:
    return "\n".join(map(str, values))


def _camera(labels: FolderLabels, image: int) -> str:
    camera = labels.camids[image]
    return "" if camera < 0 else labels.cameras[camera]


def _match(folder: FeatureFolder, match: Match) -> str:
    return f"{match.closeness:.2f} {folder.img_paths[match.image]}"
