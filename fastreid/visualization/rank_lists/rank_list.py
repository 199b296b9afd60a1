"""The picture of a rank list: the query, its ranking, and where its true matches are."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from ...evaluation.rank_lists import JUNK, MATCH, OTHER, RankList
from ..marks import MARKS, QUERY
from .rank_cells import Cell, Hidden, Look, sections_of
from .rank_sheet import Note, Sheet, Tile, TileRows, draw_sheet

__all__ = ["ImageTexts", "LabelledImages", "ReadsImages", "draw_rank_list", "path_end"]


class LabelledImages(Protocol):
    """What is known of the images of a test set, by their positions; a ``FeatureTest`` is one."""

    @property
    def img_paths(self) -> Sequence[str]:
        """Path of each image."""

    @property
    def identities(self) -> Sequence[str]:
        """Identity of each, as people call it."""

    @property
    def cameras(self) -> Sequence[str]:
        """Camera of each; empty where none is known."""


@dataclass(frozen=True, eq=False)
class ImageTexts:
    """What is known of the images of a test set, by their positions.

    Args:
        img_paths: path of each image.
        identities: identity of each, as people call it.
        cameras: camera of each; empty where none is known.
    """

    img_paths: Sequence[str]
    identities: Sequence[str]
    cameras: Sequence[str]


class ReadsImages(Protocol):
    """Returns the image at a position of the test set, RGB of one size; ``Thumbnails`` does."""

    width: int
    height: int

    def __call__(self, place: int) -> Image.Image:
        """Return the image; it is not changed."""


def draw_rank_list(
    ranking: RankList,
    images: LabelledImages,
    read: ReadsImages,
    look: Look | None = None,
) -> Image.Image:
    """Draw the ranking of a query from left to right, the closest image first, ten ranks in a row.

    Frames, signs and captions tell true matches, other identities and junk apart, see ``marks``; under each image are
    its rank, score, identity and camera. Junk stands where its score puts it, and has no rank.

    Args:
        ranking: of the query.
        images: of the test set, for the texts.
        read: gives the pictures; what it returns may be any picture of the image, such as one with an activation map.
        look: what is shown; ``None``: the defaults.

    Returns:
        RGB.
    """
    look = look or Look()
    rows = [
        TileRows(section.title, [[_tile(cell, images, read) for cell in row] for row in section.rows])
        for section in sections_of(ranking, look)
    ]
    precision = ranking.average_precision
    sheet = Sheet(
        title=path_end(images.img_paths[ranking.query]),
        result="no AP" if math.isnan(precision) else f"AP {100 * precision:.1f} %",
        facts=_facts(ranking, images),
        legend=[MARKS[kind] for kind in ([MATCH, OTHER, JUNK] if look.junk else [MATCH, OTHER])],
        query=Tile(read(ranking.query), QUERY, QUERY.name, labels=_labels(ranking.query, images)),
        sections=rows,
    )
    return draw_sheet(sheet)


def path_end(path: str) -> str:
    """Return the name of a file and of its folder."""
    return os.path.join(*path.split(os.sep)[-2:]) if path else ""


def _tile(cell: Cell | Hidden, images: LabelledImages, read: ReadsImages) -> Tile | Note:
    if isinstance(cell, Hidden):
        return Note((f"+{cell.count}", "junk"))
    title = str(cell.rank) if cell.rank else "junk"
    score = f"{cell.score:z.3f}"
    return Tile(read(cell.place), MARKS[cell.kind], title, score, _labels(cell.place, images), pale=not cell.rank)


def _labels(place: int, images: LabelledImages) -> tuple[str, str]:
    camera = images.cameras[place]
    return f"id {images.identities[place]}", f"cam {camera}" if camera else ""


def _facts(ranking: RankList, images: LabelledImages) -> str:
    camera, count = images.cameras[ranking.query], len(ranking.match_places)
    facts = [f"identity {images.identities[ranking.query]}", *([f"camera {camera}"] if camera else [])]
    if count == 0:
        facts.append("no true match in the gallery")
    elif count == 1:
        facts.append(f"one true match, at rank {ranking.match_ranks[0]}")
    else:
        facts.append(f"{count} true matches, the first at rank {ranking.match_ranks[0]}")
    return " · ".join(facts)
