"""Thumbnails in sheets: a page needs few files, and gets images that are seen together from the same ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.progress import Progress

__all__ = ["COLUMNS", "ROWS", "sheet_name", "sheet_order", "write_sheets"]

COLUMNS, ROWS = 8, 8
"""Cells of a sheet."""

_JPEG = {
    "quality": 85,
    "subsampling": 0,
    "optimize": True,
}  # colours at full size, or cells would stain their neighbours


def sheet_order(queries: np.ndarray, precision: np.ndarray, others: np.ndarray, identities: np.ndarray) -> np.ndarray:
    """Put images into an order in which those that are seen together lie together.

    The queries come first, the worst one at the beginning, as the list of queries has them. All other images follow by
    identity: the true matches of a query, and most of what is taken for them, lie in few sheets.

    Args:
        queries: ``(Q,)`` int64 images that are queries.
        precision: ``(Q,)`` their average precision; NaN comes last.
        others: ``(N,)`` int64 images; one may come again, or be a query.
        identities: ``(M,)`` int64 or texts, of all images that there are.

    Returns:
        ``(K,)`` int64, each image once.
    """
    rest = np.setdiff1d(others, queries)
    return np.concatenate([queries[np.argsort(precision, kind="stable")], rest[np.lexsort((rest, identities[rest]))]])


def sheet_name(number: int) -> str:
    """Return the file name of a sheet."""
    return f"{number:04d}.jpg"


def write_sheets(
    count: int,
    picture: Callable[[int], Image.Image],
    folder: Path,
    *,
    size: tuple[int, int],
    workers: int = 0,
    description: str = "Thumbnails",
) -> None:
    """Write sheets of :data:`COLUMNS` times :data:`ROWS` pictures, row by row; the last one may have empty cells.

    Args:
        count: number of pictures.
        picture: gives each, of the size of a cell; it is called from several threads, unless there is one worker.
        folder: is made if need be; sheets in it are written over.
        size: width and height of a cell, in pixels.
        workers: threads; decoders of images do not hold each other up. 0: one for each core.
        description: of the progress.

    Raises:
        ValueError: if ``workers`` is below 0.
        OSError: if the disk is full or not writable.
    """
    if workers < 0:
        raise ValueError(f"--workers must be at least 1 (0: one for each core), got {workers}")
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, COLUMNS * ROWS)

    def write(start: int) -> int:
        of_sheet = range(start, min(start + COLUMNS * ROWS, count))
        sheet = _draw_sheet([picture(number) for number in of_sheet], size)
        sheet.save(folder / sheet_name(start // (COLUMNS * ROWS)), "JPEG", **_JPEG)
        return len(of_sheet)

    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        Progress(total=count, desc=description, unit="image", plain_every=10.0) as bar,
    ):
        jobs = [pool.submit(write, start) for start in starts]
        try:
            for job in jobs:
                bar.update(job.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _draw_sheet(pictures: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    width, height = size
    sheet = Image.new("RGB", (COLUMNS * width, ROWS * height), (128, 128, 128))
    for cell, picture in enumerate(pictures):
        sheet.paste(picture, (cell % COLUMNS * width, cell // COLUMNS * height))
    return sheet
