"""Small copies of image files for pictures: all of one size, each a picture even if its file is none."""

from __future__ import annotations

import logging
import os
import statistics
from collections.abc import Sequence
from functools import lru_cache

from PIL import ExifTags, Image, ImageDraw

from ..data.data_utils import ImageReadError, read_image
from ..data.stored_path import image_file
from .lettering import shortened_to, text_width, write

__all__ = ["PADDING", "Thumbnails", "cell_size", "fit_into", "placeholder", "read_thumbnail"]

logger = logging.getLogger(__name__)

PADDING = "#ECECEC"
"""Colour beside an image that does not fill its cell."""

_AREA = 96 * 192  # pixels of a cell
_SMALLEST_WIDTH = 92
_ASPECTS = (0.4, 2.5)  # width / height
_LOOK_AT = 64  # images, for the shape of the cells
_NAMED = 10  # broken files that the log names
_CROSSED = "#B0B0B0"


def read_thumbnail(path: str, width: int, height: int) -> Image.Image:
    """Read an image as ``read_image`` does, in the size of a cell; its shape is kept, what remains is :data:`PADDING`.

    Args:
        path: of the image.
        width: of the cell, in pixels, at least 1.
        height: likewise.

    Returns:
        RGB of exactly ``width`` x ``height`` pixels. For a file that is missing or cannot be read, a placeholder that
        says so, and there is a warning; :class:`Thumbnails` counts them.
    """
    try:
        return fit_into(read_image(path, at_least=(width, height)), width, height)
    except ImageReadError as error:
        logger.warning("%s; a placeholder stands for it", error)
        return placeholder(path, width, height)


def fit_into(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return an RGB image as large as its shape allows, in the middle of ``width`` x ``height`` pixels."""
    scale = min(width / image.width, height / image.height)
    size = (
        min(width, max(1, round(image.width * scale))),
        min(height, max(1, round(image.height * scale))),
    )
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if size == (width, height):
        return small
    cell = Image.new("RGB", (width, height), PADDING)
    cell.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return cell


def placeholder(path: str, width: int, height: int) -> Image.Image:
    """Return a crossed-out cell that says that the file is missing or cannot be read."""
    cell = Image.new("RGB", (width, height), PADDING)
    draw = ImageDraw.Draw(cell)
    draw.line((0, 0, width, height), fill=_CROSSED)
    draw.line((0, height, width, 0), fill=_CROSSED)
    lines = ["no image file"] if not os.path.exists(path) else ["cannot be", "decoded"]
    size = 12
    while size > 6 and max(text_width(line, size) for line in lines) > width - 6:
        size -= 1
    top = height / 2 - size * 1.3 * (len(lines) + 1) / 2
    for number, line in enumerate([*lines, shortened_to(width - 6, os.path.basename(path), size)]):
        half = text_width(line, size) / 2 + 2
        y = top + number * 1.3 * size
        draw.rectangle((width / 2 - half, y, width / 2 + half, y + 1.3 * size), fill=PADDING)
        write(draw, (width / 2, y), line, size=size, colour="#444444", align="middle")
    return cell


class Thumbnails:
    """The images of a test set in the size of a cell, read when they are asked for; the newest stay in memory.

    May be called from several threads.

    Args:
        img_paths: of the images.
        width: of a cell, in pixels.
        height: likewise.
        keep: images that stay in memory, at 3 bytes a pixel.

    Attributes:
        width, height: the arguments.
        broken: path -> what is wrong, of files that a placeholder stands for; the log names the first ten.
    """

    def __init__(self, img_paths: Sequence[str], width: int, height: int, *, keep: int = 1024) -> None:
        self.width, self.height = width, height
        self.broken: dict[str, str] = {}
        self._paths = img_paths
        self._read = lru_cache(maxsize=keep)(self._read_anew)

    def __call__(self, place: int) -> Image.Image:
        """Return the image at a position; it must not be changed."""
        return self._read(int(place))

    def _read_anew(self, place: int) -> Image.Image:
        path = self._paths[place]
        try:
            return fit_into(read_image(path, at_least=(self.width, self.height)), self.width, self.height)
        except ImageReadError as error:
            return self.stand_in(place, error)

    def stand_in(self, place: int, error: Exception) -> Image.Image:
        """Count an image that cannot be read, and return what stands for it."""
        path = self._paths[place]
        if path not in self.broken:
            self.broken[path] = str(error)
            if len(self.broken) <= _NAMED:
                logger.warning("%s; a placeholder stands for it", error)
        return placeholder(path, self.width, self.height)


def cell_size(img_paths: Sequence[str], *, area: int = _AREA) -> tuple[int, int]:
    """Return a width and a height that suit most images: their shape, and always about the same area.

    Args:
        img_paths: at most 64 of them are looked at, evenly spread. Without one that can be read, people are expected.
        area: of a cell, in pixels.
    """
    step = max(1, len(img_paths) // _LOOK_AT)
    aspects = [aspect for path in img_paths[::step][:_LOOK_AT] if (aspect := _aspect(path)) is not None]
    aspect = min(max(statistics.median(aspects or [0.5]), _ASPECTS[0]), _ASPECTS[1])
    width = max(_SMALLEST_WIDTH, round((area * aspect) ** 0.5))
    return width, round(width / aspect)


def _aspect(path: str) -> float | None:
    """Return width / height of an image, upright, from the head of its file; ``None``: it has none."""
    try:
        with Image.open(image_file(path)) as file:
            lies = "exif" in file.info and file.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return file.height / file.width if lies else file.width / file.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
