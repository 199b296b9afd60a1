"""Read ``cuhk-03.mat``: its images, and the people of its 20 test sets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["extract_images", "extract_test_sets"]

_IMAGES = 10  # of each person: five of each of two views


def extract_images(mat: str, kind: str, folder: str) -> None:
    """Write the images of ``cuhk-03.mat`` as PNG files ``{pair}_{person:03d}_{view}_{number:02d}.png``.

    All numbers count from 1; ``number`` counts the images of both views together. The folder appears when all are
    written.

    Args:
        mat: the file, of MATLAB's version 7.3.
        kind: ``labeled`` or ``detected``, the boxes that were drawn by hand or found by a detector.
        folder: of the images; must not be there.

    Raises:
        ImportError: if h5py is not installed.
        ValueError: if the file is of another form.
        OSError: if it cannot be read, or the images not be written.
    """
    partial = f"{folder}.partial-{os.getpid()}"
    os.makedirs(partial)
    try:
        with _open(mat) as file:
            for name, pixels in _images(mat, file, kind):
                Image.fromarray(pixels).save(os.path.join(partial, name))
        try:
            os.rename(partial, folder)
        except OSError:
            if not os.path.isdir(folder):  # else another machine was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def extract_test_sets(mat: str, path: str) -> None:
    """Write the test sets of ``cuhk-03.mat`` as JSON: of each its people, ``[pair, person]``, counted from 1.

    Args:
        mat: as for ``extract_images``.
        path: of the JSON file.

    Raises:
        ImportError, OSError: as ``extract_images`` does.
    """
    with _open(mat) as file:
        sets = [file[reference][()].T.astype(int).tolist() for reference in file["testsets"][()].ravel()]
    with open(f"{path}.partial-{os.getpid()}", "w", encoding="utf-8") as stream:
        json.dump(sets, stream)
    os.replace(stream.name, path)


def _images(mat: str, file: Any, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the pixels ``(H, W, 3)`` uint8 of each image."""
    for pair, reference in enumerate(file[kind][()].ravel(), start=1):
        people = file[reference][()]  # (10, P) references: MATLAB's arrays are read with their axes in reverse
        if people.ndim != 2 or people.shape[0] != _IMAGES:
            raise ValueError(f"{mat}: pair {pair} of {kind} has the shape {people.shape[::-1]}, wanted (people, 10)")
        for person in range(people.shape[1]):
            for number in range(_IMAGES):
                pixels = file[people[number, person]][()]  # (3, W, H); what is missing has another form
                if pixels.ndim == 3:
                    view = 1 if number < _IMAGES // 2 else 2
                    yield f"{pair}_{person + 1:03d}_{view}_{number + 1:02d}.png", pixels.T  # (H, W, 3)


def _open(mat: str) -> Any:
    return _h5py().File(mat, "r")


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "CUHK03 needs h5py, once, to read cuhk-03.mat: pip install h5py, or 'fastreid[h5py]'"
        ) from error
    return h5py
