"""Draw a ranking: the query at the left, beside it rows of framed images with captions, above what it is about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from PIL import Image, ImageDraw

from ..lettering import shortened_to, text_width, write
from ..marks import Mark, badge, draw_frame

__all__ = ["Note", "Sheet", "Tile", "TileRows", "draw_sheet"]

_FRAME = 5  # pixels, as all that follows
_GAP, _ROW_GAP = 10, 14
_MARGIN = 16
_BESIDE_QUERY = 30
_NOTE = 46  # width
_LEAST_WIDTH = 560
_BADGE = 14
_LINE = 17  # from one line of a caption to the next
_CAPTION, _SMALL, _TITLE = 12, 13, 16  # sizes of letters
_DARK, _GREY, _PALE = "#1A1A1A", "#5A5A5A", "#D8D8D8"


@dataclass(frozen=True, eq=False)
class Tile:
    """A framed image and its caption.

    Args:
        picture: RGB.
        mark: of the frame; its sign stands in the caption.
        title: first line of the caption, at the left.
        score: likewise, at the right.
        labels: two texts below, beside each other, or one below the other where some are long.
        pale: write the title less strong.
    """

    picture: Image.Image
    mark: Mark
    title: str
    score: str = ""
    labels: tuple[str, str] = ("", "")
    pale: bool = False


@dataclass(frozen=True)
class Note:
    """Lines of text in the place of images that are not shown."""

    lines: Sequence[str]


@dataclass(frozen=True, eq=False)
class TileRows:
    """Rows of images under one title."""

    title: str
    rows: Sequence[Sequence[Tile | Note]]


@dataclass(frozen=True, eq=False)
class Sheet:
    """What a picture of a ranking shows.

    Args:
        title: at the top left; of one that is too long, the end.
        result: at the top right.
        facts: below the title.
        legend: marks to explain.
        query: the image at the left.
        sections: beside it, from top to bottom. Their images are of one size, and the query is no larger.
    """

    title: str
    result: str
    facts: str
    legend: Sequence[Mark]
    query: Tile
    sections: Sequence[TileRows]


def draw_sheet(sheet: Sheet) -> Image.Image:
    """Draw a ranking.

    Returns:
        RGB, as wide as its longest row.
    """
    return _Drawing(sheet).draw()


class _Drawing:
    """One picture, put together from top to bottom."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        rows = [row for section in sheet.sections for row in section.rows]
        found = [tile for tile in chain.from_iterable(rows) if isinstance(tile, Tile)]
        tiles = [sheet.query, *found]
        widths, heights = zip(*(tile.picture.size for tile in tiles), strict=True)
        self._height = max(heights) + 2 * _FRAME  # of a framed image
        self._column = max(max(widths) + 2 * _FRAME, *map(_caption_width, tiles))
        self._lines = 2 if all(self._labels_fit(tile) for tile in tiles) else 3
        self._row_height = self._height + 5 + self._lines * _LINE
        self._left = _MARGIN + self._column + _BESIDE_QUERY  # of the rows
        content = self._left + max(map(self._width_of, rows), default=0) + _MARGIN
        self._width = max(content, _LEAST_WIDTH)

    def draw(self) -> Image.Image:
        sheet, header = self._sheet, self._header_height()
        sections = sum(map(self._section_height, sheet.sections))
        height = header + max(sections, _LINE + 5 + self._row_height + _ROW_GAP) + _MARGIN - _ROW_GAP
        self._picture = Image.new("RGB", (self._width, height), "white")
        self._pen = ImageDraw.Draw(self._picture)
        self._draw_header()
        top = header
        self._draw_tile((_MARGIN, top + _LINE + 5), sheet.query, colour=sheet.query.mark.colour)
        for section in sheet.sections:
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

    def _width_of(self, row: Sequence[Tile | Note]) -> int:
        widths = [self._column if isinstance(tile, Tile) else _NOTE for tile in row]
        return sum(widths) + _GAP * max(0, len(row) - 1)

    def _section_height(self, section: TileRows) -> int:
        return _LINE + 5 + len(section.rows) * (self._row_height + _ROW_GAP)

    def _legend_width(self) -> float:
        names = [mark.name for mark in self._sheet.legend]
        return sum(_BADGE + 5 + text_width(name, _CAPTION) for name in names) + 16 * max(0, len(names) - 1)

    def _legend_has_a_line(self) -> bool:
        facts, legend = text_width(self._sheet.facts, _SMALL), self._legend_width()
        return legend > 0 and facts + 24 + legend > self._width - 2 * _MARGIN

    def _header_height(self) -> int:
        return 12 + 24 + (3 if self._legend_has_a_line() else 2) * 20 + 2

    def _labels_fit(self, tile: Tile) -> bool:
        return sum(text_width(text, _CAPTION) for text in tile.labels) + 8 <= self._column

    # -- parts ----------------------------------------------------------------------------------------

    def _write(self, place: tuple[float, float], text: str, **how: object) -> None:
        write(self._pen, place, text, **{"size": _CAPTION, "colour": _DARK, **how})

    def _draw_header(self) -> None:
        sheet, left, right = self._sheet, _MARGIN, self._width - _MARGIN
        self._write((right, 12), sheet.result, size=_TITLE, bold=True, align="right")
        room = right - left - text_width(sheet.result, _TITLE, bold=True) - 20
        self._write((left, 12), shortened_to(room, sheet.title, _TITLE, bold=True), size=_TITLE, bold=True)
        y = 36
        own_line = self._legend_has_a_line()
        self._write((left, y), shortened_to(right - left, sheet.facts, _SMALL), size=_SMALL, colour=_GREY)
        x = left if own_line else right - self._legend_width()
        y += 20 * own_line
        for mark in sheet.legend:
            self._badge((round(x), y + 1), mark)
            self._write((x + _BADGE + 5, y), mark.name, colour=_GREY)
            x += _BADGE + 5 + text_width(mark.name, _CAPTION) + 16
        self._pen.line((left, y + 24, right, y + 24), fill=_PALE)

    def _draw_row(self, row: Sequence[Tile | Note], y: int) -> None:
        x = self._left
        for tile in row:
            if isinstance(tile, Note):
                self._draw_note((x, y), tile)
                x += _NOTE + _GAP
            else:
                self._draw_tile((x, y), tile)
                x += self._column + _GAP

    def _draw_tile(self, place: tuple[int, int], tile: Tile, *, colour: str = _DARK) -> None:
        (x, y), (width, height) = place, tile.picture.size
        self._picture.paste(tile.picture, (x + _FRAME, y + _FRAME))
        draw_frame(self._pen, (x, y, x + width + 2 * _FRAME, y + height + 2 * _FRAME), tile.mark, width=_FRAME)
        y += height + 2 * _FRAME + 5
        if tile.mark.sign:
            self._badge((x, y), tile.mark)
        start = x + _sign_width(tile)
        self._write((start, y), tile.title, bold=not tile.pale, colour=_GREY if tile.pale else colour)
        if tile.score:
            self._write((x + self._column, y), tile.score, align="right")
        for text, at, align in self._labels(tile, x, y + _LINE):
            self._write(at, shortened_to(self._column, text, _CAPTION), colour=_GREY, align=align)

    def _labels(self, tile: Tile, x: int, y: int) -> Iterator[tuple[str, tuple[int, int], str]]:
        """Yield the labels of an image, where they stand, and what part of them stands there."""
        left, right = tile.labels
        beside = self._lines == 2
        if left:
            yield left, (x, y), "left"
        if right:
            yield right, (x + self._column, y) if beside else (x, y + _LINE), "right" if beside else "left"

    def _draw_note(self, place: tuple[int, int], note: Note) -> None:
        x, y = place[0] + _NOTE / 2, place[1] + self._height / 2
        for number, text in enumerate(note.lines):
            self._write((x, y - 16 + number * 16), text, align="middle", colour=_GREY)

    def _badge(self, place: tuple[int, int], mark: Mark) -> None:
        picture = badge(mark, _BADGE)
        self._picture.paste(picture, place, picture)


def _sign_width(tile: Tile) -> int:
    return _BADGE + 4 if tile.mark.sign else 0


def _caption_width(tile: Tile) -> int:
    """Return how many pixels the first line of a caption takes."""
    letters = text_width(tile.title, _CAPTION, bold=not tile.pale) + text_width(tile.score, _CAPTION)
    return math.ceil(_sign_width(tile) + letters + 6)
