"""Draw what was found for one query: the query, its ranking, and where its true matches are."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageDraw

from ..evaluation.rank_lists import JUNK, MATCH, OTHER, RankList
from .lettering import shortened_to, text_width, write
from .marks import MARKS, QUERY, Mark, badge, draw_frame
from .rank_cells import Cell, Hidden, Look, Section, sections_of

__all__ = ["ImageTexts", "LabelledImages", "ReadsImages", "draw_rank_list"]

_FRAME = 5  # pixels, as all that follows
_GAP, _ROW_GAP = 10, 14
_MARGIN = 16
_BESIDE_QUERY = 30
_NOTE = 46  # width of a note on hidden junk
_LEAST_WIDTH = 560
_BADGE = 14
_LINE = 17  # from one line of a caption to the next
_CAPTION, _SMALL, _TITLE = 12, 13, 16  # sizes of letters
_DARK, _GREY, _PALE = "#1A1A1A", "#5A5A5A", "#D8D8D8"


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
    kinds = [MATCH, OTHER, JUNK] if look.junk else [MATCH, OTHER]
    return _Sheet(ranking, images, read, sections_of(ranking, look), kinds).draw()


class _Sheet:
    """One picture, put together from top to bottom."""

    def __init__(
        self,
        ranking: RankList,
        images: LabelledImages,
        read: ReadsImages,
        sections: Sequence[Section],
        kinds: Sequence[int],
    ) -> None:
        self._ranking, self._images, self._read = ranking, images, read
        self._sections, self._kinds = sections, kinds
        self._cell = (read.width + 2 * _FRAME, read.height + 2 * _FRAME)
        rows = [row for section in sections for row in section.rows]
        cells = [cell for row in rows for cell in row if isinstance(cell, Cell)]
        self._column = max(self._cell[0], *map(_caption_width, cells)) if cells else self._cell[0]
        places = [ranking.query, *(cell.place for cell in cells)]
        self._lines = 2 if all(self._labels_fit(place) for place in places) else 3
        self._row_height = self._cell[1] + 5 + self._lines * _LINE
        self._left = _MARGIN + self._column + _BESIDE_QUERY  # of the rows
        content = self._left + max(map(self._width_of, rows), default=0) + _MARGIN
        self._width = max(content, _LEAST_WIDTH)

    def draw(self) -> Image.Image:
        header = self._header_height()
        sections = sum(map(self._section_height, self._sections))
        height = header + max(sections, _LINE + 5 + self._row_height + _ROW_GAP) + _MARGIN - _ROW_GAP
        self._picture = Image.new("RGB", (self._width, height), "white")
        self._pen = ImageDraw.Draw(self._picture)
        self._draw_header()
        top = header
        self._draw_query(top + _LINE + 5)
        for section in self._sections:
            self._write((self._left, top), section.title, size=_SMALL, bold=True)
            y = top + _LINE + 5
            for row in section.rows:
                self._draw_row(row, y)
                y += self._row_height + _ROW_GAP
            top += self._section_height(section)
        x = self._left - _BESIDE_QUERY // 2
        self._pen.line((x, header, x, height - _MARGIN), fill=_PALE)
        return self._picture

    # -- sizes ----------------------------------------------------------------------------------------

    def _width_of(self, row: Sequence[Cell | Hidden]) -> int:
        widths = [self._column if isinstance(cell, Cell) else _NOTE for cell in row]
        return sum(widths) + _GAP * max(0, len(row) - 1)

    def _section_height(self, section: Section) -> int:
        return _LINE + 5 + len(section.rows) * (self._row_height + _ROW_GAP)

    def _legend_width(self) -> float:
        names = [MARKS[kind].name for kind in self._kinds]
        return sum(_BADGE + 5 + text_width(name, _CAPTION) for name in names) + 16 * (len(names) - 1)

    def _legend_has_a_line(self) -> bool:
        facts = text_width(self._facts(), _SMALL)
        return facts + 24 + self._legend_width() > self._width - 2 * _MARGIN

    def _header_height(self) -> int:
        return 12 + 24 + (3 if self._legend_has_a_line() else 2) * 20 + 2

    def _labels_fit(self, place: int) -> bool:
        texts = (self._identity(place), self._camera(place))
        return sum(text_width(text, _CAPTION) for text in texts) + 8 <= self._column

    # -- texts ----------------------------------------------------------------------------------------

    def _identity(self, place: int) -> str:
        return f"id {self._images.identities[place]}"

    def _camera(self, place: int) -> str:
        camera = self._images.cameras[place]
        return f"cam {camera}" if camera else ""

    def _facts(self) -> str:
        ranking, camera = self._ranking, self._images.cameras[self._ranking.query]
        count = len(ranking.match_places)
        facts = [f"identity {self._images.identities[ranking.query]}", *([f"camera {camera}"] if camera else [])]
        if count == 0:
            facts.append("no true match in the gallery")
        elif count == 1:
            facts.append(f"one true match, at rank {ranking.match_ranks[0]}")
        else:
            facts.append(f"{count} true matches, the first at rank {ranking.match_ranks[0]}")
        return " · ".join(facts)

    def _write(self, place: tuple[float, float], text: str, **how: object) -> None:
        write(self._pen, place, text, **{"size": _CAPTION, "colour": _DARK, **how})

    # -- parts ----------------------------------------------------------------------------------------

    def _draw_header(self) -> None:
        left, right = _MARGIN, self._width - _MARGIN
        precision = self._ranking.average_precision
        result = "no AP" if math.isnan(precision) else f"AP {100 * precision:.1f} %"
        self._write((right, 12), result, size=_TITLE, bold=True, align="right")
        room = right - left - text_width(result, _TITLE, bold=True) - 20
        path = _path_end(self._images.img_paths[self._ranking.query])
        self._write((left, 12), shortened_to(room, path, _TITLE, bold=True), size=_TITLE, bold=True)
        y = 36
        own_line = self._legend_has_a_line()
        facts = shortened_to(right - left, self._facts(), _SMALL)
        self._write((left, y), facts, size=_SMALL, colour=_GREY)
        x = left if own_line else right - self._legend_width()
        y += 20 * own_line
        for kind in self._kinds:
            mark = MARKS[kind]
            self._badge((round(x), y + 1), mark)
            self._write((x + _BADGE + 5, y), mark.name, colour=_GREY)
            x += _BADGE + 5 + text_width(mark.name, _CAPTION) + 16
        self._pen.line((left, y + 24, right, y + 24), fill=_PALE)

    def _draw_query(self, y: int) -> None:
        place = self._ranking.query
        self._frame_image((_MARGIN, y), self._read(place), QUERY)
        y += self._cell[1] + 5
        self._write((_MARGIN, y), QUERY.name, bold=True, colour=QUERY.colour)
        self._draw_labels((_MARGIN, y + _LINE), place)

    def _draw_row(self, row: Sequence[Cell | Hidden], y: int) -> None:
        x = self._left
        for cell in row:
            if isinstance(cell, Hidden):
                self._draw_note((x, y), cell)
                x += _NOTE + _GAP
            else:
                self._draw_cell((x, y), cell)
                x += self._column + _GAP

    def _draw_cell(self, place: tuple[int, int], cell: Cell) -> None:
        (x, y), mark = place, MARKS[cell.kind]
        self._frame_image(place, self._read(cell.place), mark)
        y += self._cell[1] + 5
        self._badge((x, y), mark)
        title, score = _caption(cell)
        self._write((x + _BADGE + 4, y), title, bold=bool(cell.rank), colour=_DARK if cell.rank else _GREY)
        self._write((x + self._column, y), score, align="right")
        self._draw_labels((x, y + _LINE), cell.place)

    def _draw_note(self, place: tuple[int, int], note: Hidden) -> None:
        x, y = place[0] + _NOTE / 2, place[1] + self._cell[1] / 2
        for number, text in enumerate((f"+{note.count}", "junk")):
            self._write((x, y - 16 + number * 16), text, align="middle", colour=_GREY)

    def _frame_image(self, place: tuple[int, int], image: Image.Image, mark: Mark) -> None:
        x, y = place
        self._picture.paste(image, (x + _FRAME, y + _FRAME))
        draw_frame(self._pen, (x, y, x + self._cell[0], y + self._cell[1]), mark, width=_FRAME)

    def _badge(self, place: tuple[int, int], mark: Mark) -> None:
        picture = badge(mark, _BADGE)
        self._picture.paste(picture, place, picture)

    def _draw_labels(self, place: tuple[int, int], number: int) -> None:
        """Write identity and camera beside each other, or one below the other where some are long."""
        (x, y), width = place, self._column
        identity, camera = self._identity(number), self._camera(number)
        self._write((x, y), shortened_to(width, identity, _CAPTION), colour=_GREY)
        camera = shortened_to(width, camera, _CAPTION)
        if self._lines == 2:
            self._write((x + width, y), camera, colour=_GREY, align="right")
        else:
            self._write((x, y + _LINE), camera, colour=_GREY)


def _caption(cell: Cell) -> tuple[str, str]:
    """Return what stands right under an image: its rank and its score."""
    return str(cell.rank) if cell.rank else "junk", f"{cell.score:.3f}"


def _caption_width(cell: Cell) -> int:
    title, score = _caption(cell)
    letters = text_width(title, _CAPTION, bold=bool(cell.rank)) + text_width(score, _CAPTION)
    return math.ceil(_BADGE + 4 + letters + 6)


def _path_end(path: str) -> str:
    """Return the name of a file and of its folder."""
    return os.path.join(*path.split(os.sep)[-2:]) if path else ""
