"""Draw what the doctor saw: samples by identity and camera, then the images of each finding."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..data_utils import ImageReadError, read_image
from .finding import Finding
from .report import Report
from .subject import LabelledSplit, Subject

__all__ = ["contact_sheet"]

_COLUMNS = 9  # the first of a sample has its name
_IDENTITIES = 3  # of a split
_HEIGHT, _LEAST_WIDTH, _MOST_WIDTH = 128, 90, 160  # of a cell, in pixels
_GAP, _FRAME, _LINE = 8, 3, 13  # pixels
_LINES = 4  # of text below an image
_PAPER, _INK, _EMPTY = "white", "black", "#eeeeee"
_COLOURS = {"error": "#d00000", "warning": "#d07000", "note": "#3070c0"}


@dataclass(frozen=True)
class _Cell:
    """An image with text below it; without a path, text alone."""

    path: str = ""
    captions: tuple[str, ...] = ()
    frame: str = _PAPER


def contact_sheet(report: Report) -> Image.Image:
    """Draw samples of the data set, and the images of the findings, framed and named.

    First come three identities of each split, a row each, with a column for each camera, at most eight; where no camera
    is known, with the first eight images. Then come the findings that are about images, the worst first, each with the
    images that it lists: red frames for errors, orange ones for warnings, blue ones for notes. Images are drawn as the
    model gets them, upright, but in their own shape.

    Returns:
        An image in mode RGB; its height grows with the number of cases that the findings list.
    """
    subject = report.subject
    height, width = subject.size
    size = (min(max(_HEIGHT * width // height, _LEAST_WIDTH), _MOST_WIDTH), _HEIGHT)  # width, height
    total = _GAP + _COLUMNS * (size[0] + _GAP)
    rows = [_text(f"{subject.name}: {report.verdict}", total)]
    for name, split in subject.splits.items():
        if len(split):
            rows.append(_text(f"Samples of {name}", total))
            rows += [_row(cells, size) for cells in _samples(subject, split)]
    rows += _shelves([block for finding in report.findings if (block := _block(finding, size))], total)
    return _stack(rows, total)


def _samples(subject: Subject, split: LabelledSplit) -> Iterator[list[_Cell]]:
    """Yield a row for each of some identities, evenly spaced over the split: its name, then its images."""
    cameras = _spaced(np.unique(split.cams[split.cams >= 0]), _COLUMNS - 1)
    if cameras.size:
        yield [_Cell(), *(_Cell(captions=(f"camera {subject.cameras[camera]}",)) for camera in cameras)]
    nobody = np.array(sorted(subject.nobody), dtype=np.int64)
    for pid in _spaced(np.setdiff1d(split.pids, nobody), _IDENTITIES):
        own = np.flatnonzero(split.pids == pid)
        shown = (
            [own[split.cams[own] == camera][:1] for camera in cameras] if cameras.size else own[: _COLUMNS - 1, None]
        )
        paths = [subject.paths[split.files[place[0]]] if place.size else "" for place in shown]
        yield [_Cell(captions=(f"identity {subject.identities[pid]}",)), *(_Cell(path) for path in paths)]


def _spaced(values: np.ndarray, count: int) -> np.ndarray:
    """Return at most ``count`` of sorted values, evenly spaced."""
    return values if values.size <= count else values[np.arange(count) * values.size // count]


def _block(finding: Finding, size: tuple[int, int]) -> Image.Image | None:
    """Draw a finding: its kind, and below it the images that it lists; ``None`` if it lists none."""
    colour = _COLOURS[finding.severity]
    cells = [_Cell(path, (os.path.basename(path), case.text), colour) for case in finding.cases for path in case.paths]
    if not cells:
        return None
    lines = [_row(cells[start : start + _COLUMNS], size) for start in range(0, len(cells), _COLUMNS)]
    title = f"{finding.severity} {finding.kind}: {finding.count}"
    width = max(max(line.width for line in lines), int(_font().getlength(title)) + 2 * _GAP)
    return _stack([_text(title, width, colour), *lines], width)


def _shelves(blocks: Sequence[Image.Image], total: int) -> list[Image.Image]:
    """Put blocks side by side, as many in a row as there is room for."""
    shelves: list[list[Image.Image]] = []
    for block in blocks:
        if not shelves or sum(other.width for other in shelves[-1]) + block.width > total:
            shelves.append([])
        shelves[-1].append(block)
    rows = []
    for shelf in shelves:
        row = Image.new("RGB", (total, max(block.height for block in shelf)), _PAPER)
        left = 0
        for block in shelf:
            row.paste(block, (left, 0))
            left += block.width
        rows.append(row)
    return rows


@functools.cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default()


def _text(text: str, width: int, colour: str = _INK) -> Image.Image:
    """Draw a line of text on a stripe."""
    stripe = Image.new("RGB", (width, _LINE + 2 * _GAP), _PAPER)
    line = _wrapped(text, width - 2 * _GAP, lines=1)[0]
    ImageDraw.Draw(stripe).text((_GAP, _GAP), line, fill=colour, font=_font())
    return stripe


def _wrapped(text: str, width: int, *, lines: int) -> list[str]:
    """Break a text into at most ``lines`` lines of at most ``width`` pixels; what the font lacks becomes an escape."""
    font, found = _font(), [""]
    for letter in text.replace("\n", " ").encode("ascii", "backslashreplace").decode():
        if font.getlength(found[-1] + letter) > width and found[-1]:
            if len(found) == lines:
                return [*found[:-1], found[-1][:-2] + "..."]
            found.append("")
        found[-1] += letter
    return found


def _row(cells: Sequence[_Cell], size: tuple[int, int]) -> Image.Image:
    """Draw cells side by side; the row is as high as the text below them needs."""
    texts = [
        [line for text in cell.captions if text for line in _wrapped(text, size[0], lines=_LINES // 2)]
        for cell in cells
    ]
    height = size[1] if any(cell.path for cell in cells) else 0
    bottom = max(len(lines) * _LINE + (height if cell.path else 0) for cell, lines in zip(cells, texts))
    row = Image.new("RGB", (_GAP + len(cells) * (size[0] + _GAP), max(bottom, height) + _GAP), _PAPER)
    draw = ImageDraw.Draw(row)
    for place, (cell, lines) in enumerate(zip(cells, texts)):
        left, top = _GAP + place * (size[0] + _GAP), 0
        if cell.path:
            row.paste(_picture(cell, size), (left, 0))
            top = size[1]
        for number, line in enumerate(lines):
            draw.text((left, top + number * _LINE), line, fill=_INK, font=_font())
    return row


def _picture(cell: _Cell, size: tuple[int, int]) -> Image.Image:
    """Draw an image in its own shape inside a frame; a cross if it cannot be read."""
    picture = Image.new("RGB", size, cell.frame)
    inner = (size[0] - 2 * _FRAME, size[1] - 2 * _FRAME)
    try:
        image = ImageOps.pad(read_image(cell.path), inner, method=Image.Resampling.BICUBIC, color=_EMPTY)
    except ImageReadError:
        image = Image.new("RGB", inner, _EMPTY)
        draw = ImageDraw.Draw(image)
        draw.line((0, 0, *inner), fill=_COLOURS["error"], width=2)
        draw.line((0, inner[1], inner[0], 0), fill=_COLOURS["error"], width=2)
    picture.paste(image, (_FRAME, _FRAME))
    return picture


def _stack(rows: Sequence[Image.Image], width: int) -> Image.Image:
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet
