"""Which images a report shows, in which order, and what they are labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...data.labels import natural_key
from ...engine.feature_evaluation import FeatureTest
from ..sheets import sheet_order

__all__ = ["Candidates", "ReportImages", "choose_images"]


@dataclass(frozen=True, eq=False)
class ReportImages:
    """The N images of a report; the place of each among them is its cell in the sheets.

    Args:
        paths: N.
        identities: N, as people call them.
        cameras: N; empty where none is known.
        splits: N.
        queries: ``(Q,)`` int64 numbers of the images that are queries.
        number_of: ``(M,)`` int64, for each image that there was to choose from its number here; -1: not chosen.
    """

    paths: list[str]
    identities: list[str]
    cameras: list[str]
    splits: list[str]
    queries: np.ndarray
    number_of: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def camera_names(self) -> list[str]:
        """The different cameras, in natural order; the empty name is the first, where there is one."""
        return sorted(set(self.cameras), key=natural_key)


@dataclass(frozen=True)
class Candidates:
    """All images that a report may show: those of the test set, then others, of which only suspects speak."""

    paths: list[str]
    identities: list[str]
    cameras: list[str]
    splits: list[str]

    @classmethod
    def of_test(cls, test: FeatureTest) -> Candidates:
        """Take the images of a test set."""
        splits = ["query"] * len(test.query) + ["gallery"] * len(test.gallery)
        return cls(list(test.img_paths), list(test.identities), list(test.cameras), splits)

    def add(self, path: str, identity: str, camera: str, split: str) -> int:
        """Add an image, and return its place."""
        for column, value in zip(
            (self.paths, self.identities, self.cameras, self.splits), (path, identity, camera, split)
        ):
            column.append(value)
        return len(self.paths) - 1


def choose_images(
    candidates: Candidates, queries: np.ndarray, precision: np.ndarray, met: Iterable[np.ndarray]
) -> ReportImages:
    """Choose the images that occur, and put them into the order of the sheets; see ``sheet_order``.

    Args:
        candidates: M images.
        queries: ``(Q,)`` int64 places of the queries among them.
        precision: ``(Q,)`` their average precision.
        met: places of all other images.
    """
    identities = np.array(candidates.identities, dtype=np.str_)
    chosen = sheet_order(queries, precision, np.concatenate([np.empty(0, dtype=np.int64), *met]), identities)
    number_of = np.full(len(candidates.paths), -1, dtype=np.int64)
    number_of[chosen] = np.arange(chosen.size)

    def of(column: Sequence[str]) -> list[str]:
        return [column[place] for place in chosen.tolist()]

    return ReportImages(
        of(candidates.paths),
        of(candidates.identities),
        of(candidates.cameras),
        of(candidates.splits),
        number_of[queries],
        number_of,
    )
