"""Many small pictures in few files, which a page loads when it needs them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.data_utils import ImageReadError, read_image

__all__ = ["SpriteSheets", "write_sprites"]

logger = logging.getLogger(__name__)

_LONGER, _SHORTEST = 128, 32  # pixels: the longer side of a cell, and the least of the other
_COLUMNS, _ROWS = 10, 5  # cells of a sheet
_LOOKED_AT = 200  # images that tell the shape of a cell


@dataclass(frozen=True, eq=False)
class SpriteSheets:
    """Where small pictures are: number ``i`` in sheet ``i // (columns * rows)``, row by row, in the corner of a cell.

    Args:
        cell: width and height of a cell, in pixels.
        columns: of a sheet.
        rows: of a sheet.
        sizes: ``(N, 2)`` int64 width and height of each picture; 0 where it could not be read.
    """

    cell: tuple[int, int]
    columns: int
    rows: int
    sizes: np.ndarray

    @property
    def missing(self) -> int:
        """How many pictures could not be read."""
        return int((self.sizes[:, 0] == 0).sum())


def write_sprites(img_paths: Sequence[str], folder: str | os.PathLike[str]) -> SpriteSheets:
    """Write sheets ``0.jpg``, ``1.jpg`` ... with the images of some paths, each whole and in its own proportions.

    An image that cannot be read leaves its cell empty; how many there are is a warning that names the first.

    Args:
        img_paths: N paths.
        folder: for the sheets; is made if need be.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cell = _cell(img_paths)
    sizes = np.zeros((len(img_paths), 2), dtype=np.int64)
    errors: list[str] = []
    per_sheet = _COLUMNS * _ROWS
    for number, start in enumerate(range(0, len(img_paths), per_sheet)):
        sheet = Image.new("RGB", (cell[0] * _COLUMNS, cell[1] * _ROWS), "#808080")
        for offset, path in enumerate(img_paths[start : start + per_sheet]):
            try:
                image = read_image(path, at_least=cell)
            except ImageReadError as error:
                errors.append(str(error))
                continue
            image.thumbnail(cell)
            sheet.paste(image, (offset % _COLUMNS * cell[0], offset // _COLUMNS * cell[1]))
            sizes[start + offset] = image.size
        sheet.save(folder / f"{number}.jpg", quality=85)
    if errors:
        logger.warning("%d of %d images could not be read; the first: %s", len(errors), len(img_paths), errors[0])
    return SpriteSheets(cell, _COLUMNS, _ROWS, sizes)


def _cell(img_paths: Sequence[str]) -> tuple[int, int]:
    """Return the width and height of a cell, from the shape of the image in the middle of those looked at."""
    shapes = []
    for path in img_paths[:: max(1, len(img_paths) // _LOOKED_AT)]:
        try:
            with Image.open(path) as image:
                shapes.append(image.width / image.height)
        except OSError:  # counted when it is read as a whole
            continue
    shape = float(np.median(shapes)) if shapes else 0.5
    width, height = min(1.0, shape), min(1.0, 1 / shape)
    return max(_SHORTEST, round(_LONGER * width)), max(_SHORTEST, round(_LONGER * height))
