"""Label suspects of a report: what is shown of each, and all of them as a table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...evaluation.feature_folder import FeatureFolder, read_feature_folder
from ...evaluation.label_suspects import (
    CSV_COLUMNS,
    KINDS,
    FolderLabels,
    Match,
    Suspect,
    describe,
    find_suspects_in_folder,
    suspect_row,
    write_suspects_csv,
)
from .data import write_script
from .images import Candidates

__all__ = ["FoundSuspects", "find_suspects", "place_suspects", "write_suspects"]

logger = logging.getLogger(__name__)

_MOST_SUSPECTS = 500  # on the page; the file has all
_MOST_IMAGES = 12  # of a suspect, on the page

_OWN = {
    "wrong_label": "closest of its own identity",
    "two_people": "closest of the rest",
    "one_person": "closest of its own identity",
    "near_duplicate": "closest of its own identity",
}
_OTHER = {
    "wrong_label": "closest of the other identity",
    "two_people": "closest of its group",
    "one_person": "closest of the other identity",
    "near_duplicate": "nearly the same",
}


@dataclass(frozen=True, eq=False)
class FoundSuspects:
    """The suspects of a folder of features.

    Args:
        suspects: the most suspicious first; images by their place in the folder.
        folder: of the features.
        labels: what pids mean.
        message: why there are none; empty: none were found, or there are some.
    """

    suspects: Sequence[Suspect]
    folder: FeatureFolder
    labels: FolderLabels | None
    message: str = ""

    def shown(self) -> Sequence[Suspect]:
        """Return those that are on the page."""
        return self.suspects[:_MOST_SUSPECTS]


def find_suspects(features: str, **options: Any) -> FoundSuspects:
    """Look for suspects among all images of a folder of features; features that can tell nothing are no error.

    Args:
        features: the folder.
        **options: of ``find_label_suspects``.
    """
    folder = read_feature_folder(features)
    try:
        suspects, labels = find_suspects_in_folder(folder, **options)
    except ValueError as error:
        logger.warning("No label suspects: %s", error)
        return FoundSuspects([], folder, None, f"No suspects could be looked for: {error}")
    logger.info("Found %d label suspects", len(suspects))
    return FoundSuspects(suspects, folder, labels)


def place_suspects(found: FoundSuspects, candidates: Candidates) -> dict[int, int]:
    """Return for each image of the suspects on the page where it is among the candidates; others are added to these.

    Args:
        found: the suspects.
        candidates: of the report, the images of the test set among them; is changed.
    """
    known = {path: place for place, path in reversed(list(enumerate(candidates.paths)))}
    places: dict[int, int] = {}
    for suspect in found.shown():
        for image in _images_of(suspect):
            if image in places:
                continue
            path = found.folder.img_paths[image]
            if path not in known:
                known[path] = candidates.add(path, *_labels_of(found, image))
            places[image] = known[path]
    return places


def _images_of(suspect: Suspect) -> list[int]:
    return [*suspect.images[:_MOST_IMAGES], *(match.image for match in (*suspect.own, *suspect.other))]


def _labels_of(found: FoundSuspects, image: int) -> tuple[str, str, str]:
    labels, split = found.labels, found.folder.labels["split"]
    camera = labels.camids[image]
    return (
        labels.names[labels.pids[image]],
        "" if camera < 0 else labels.cameras[camera],
        split.names[split.codes[image]],
    )


def write_suspects(found: FoundSuspects, output: Path, number_of: dict[int, int]) -> dict[str, int]:
    """Write ``suspects.csv`` and the scripts that the page reads.

    Args:
        found: the suspects.
        output: folder of the report.
        number_of: for each image of the suspects on the page its number in the report.

    Returns:
        What the page must know at once: ``total``.
    """
    shown = found.shown()
    counts = Counter(suspect.kind for suspect in shown)
    payload = {
        "total": len(found.suspects),
        "message": found.message,
        "kinds": [{"name": kind, "words": words, "count": counts[kind]} for kind, words in KINDS.items()],
        "rows": [_row(rank, suspect, found.labels, number_of) for rank, suspect in enumerate(shown, start=1)],
    }
    write_script(output / "data", "suspects", payload)
    if found.labels is not None:
        write_suspects_csv(output / "suspects.csv", found.suspects, found.folder, found.labels)
        rows = [suspect_row(rank, suspect, found.folder, found.labels) for rank, suspect in enumerate(shown, start=1)]
        cells = [[row[column] for column in CSV_COLUMNS] for row in rows]
        write_script(output / "data", "suspects-csv", {"columns": list(CSV_COLUMNS), "cells": cells})
    return {"total": len(found.suspects)}


def _row(rank: int, suspect: Suspect, labels: FolderLabels, number_of: dict[int, int]) -> dict[str, Any]:
    def side(matches: Sequence[Match]) -> list[dict[str, Any]]:
        return [{"image": number_of[own.image], "closeness": own.closeness, "cosine": own.cosine} for own in matches]

    return {
        "rank": rank,
        "kind": suspect.kind,
        "score": suspect.score,
        "evidence": describe(suspect, labels.names.__getitem__),
        "images": [{"image": number_of[image], "closeness": None} for image in suspect.images[:_MOST_IMAGES]],
        "imageCount": len(suspect.images),
        "own": side(suspect.own),
        "ownTitle": _OWN.get(suspect.kind, "closest of its own identity"),
        "other": side(suspect.other),
        "otherTitle": _OTHER.get(suspect.kind, "closest of the other side"),
    }
