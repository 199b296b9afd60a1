"""A folder of features while it is being written: chunk by chunk, each complete on disk, and then as a whole."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from ..data.image_source import SourceImage
from ..evaluation.feature_folder import FEATURES, INDEX, META, IndexRow, read_meta, write_index
from ..utils.checkpoint import write_atomically

__all__ = ["assemble", "begin", "count_finished", "unfinished", "write_part"]

logger = logging.getLogger(__name__)

_PARTS = "parts"  # folder of the chunks that are done
_SAME = ("model", "preprocessing", "embedding", "inference", "dataset", "images", "dtype", "chunk")


def begin(folder: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Begin an extraction, or go on with one.

    Args:
        folder: is made if it is not there.
        meta: what the features will be, with ``complete`` False.

    Returns:
        What ``meta.json`` says now.

    Raises:
        ValueError: if the folder has features of another model or other images, or nobody knows what they are.
    """
    parts = os.path.join(folder, _PARTS)
    if not os.path.isfile(os.path.join(folder, META)):
        if os.path.exists(os.path.join(folder, FEATURES)) or os.path.exists(parts):
            raise ValueError(f"{folder} has features, but no {META} that says what they are; name another folder")
        os.makedirs(folder, exist_ok=True)
        _write_meta(folder, meta)
        os.makedirs(parts)
        return meta
    earlier = read_meta(folder)
    different = [name for name in _SAME if earlier.get(name) != meta[name]]
    if different:
        shown = "; ".join(f"{name} was {_short(earlier.get(name))} and is {_short(meta[name])}" for name in different)
        raise ValueError(
            f"{folder} has features of another model, of other images, or made otherwise: {shown}; name "
            "another folder, or run the same command as before"
        )
    if not earlier["complete"]:
        os.makedirs(parts, exist_ok=True)
    elif os.path.exists(parts):  # a kill came just before they were deleted
        shutil.rmtree(parts)
    return earlier


def unfinished(folder: str, images: int, chunk: int) -> list[int]:
    """Return the numbers of the chunks that are not on disk."""
    return [number for number in range(-(-images // chunk)) if not os.path.isfile(_part(folder, number))]


def count_finished(folder: str) -> int:
    """Return how many chunks are on disk."""
    return sum(name.endswith(".npz") for name in os.listdir(os.path.join(folder, _PARTS)))


def write_part(
    folder: str, number: int, found: list[np.ndarray], kept: list[int], broken: list[tuple[int, str]]
) -> None:
    """Write a chunk.

    Args:
        folder: of the features.
        number: of the chunk.
        found: features of its batches, ``(n, D)`` each.
        kept: places of their images.
        broken: place and reason of each image that could not be read.
    """
    features = np.concatenate(found) if found else np.empty((0, 0), dtype=np.float32)
    arrays = {
        "features": features,
        "width": np.array(features.shape[1]),
        "kept": np.array(kept, dtype=np.int64),
        "broken": np.array([place for place, _ in broken], dtype=np.int64),
        "reasons": np.array([reason for _, reason in broken], dtype=np.str_),
    }
    write_atomically(_part(folder, number), lambda file: np.savez(file, **arrays), size=features.nbytes)


def assemble(folder: str, meta: dict[str, Any], images: Sequence[SourceImage]) -> dict[str, Any]:
    """Put the chunks together, and delete them when everything is on disk.

    Args:
        folder: with all chunks.
        meta: what :func:`begin` returned.
        images: all of them.

    Returns:
        What is new in ``meta.json``: ``complete``, ``images_kept`` and ``skipped``.

    Raises:
        ValueError: if no image could be read, or the chunks differ in the length of their features.
    """
    parts = [_part(folder, number) for number in range(-(-meta["images"] // meta["chunk"]))]
    kept, skipped, width = _read_places(parts, images)
    if not kept:
        raise ValueError(f"none of {len(images)} images could be read, the first one because: {skipped[0]['reason']}")

    def write_features(file: IO[bytes]) -> None:
        header = {"descr": np.dtype(meta["dtype"]).str, "fortran_order": False, "shape": (len(kept), width)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            with np.load(part, allow_pickle=False) as stored:
                if len(stored["kept"]):
                    file.write(np.ascontiguousarray(stored["features"]).data)

    size = len(kept) * width * np.dtype(meta["dtype"]).itemsize
    write_atomically(os.path.join(folder, FEATURES), write_features, size=size)
    write_atomically(os.path.join(folder, INDEX), lambda file: _write_rows(file, [images[place] for place in kept]))
    new = {"complete": True, "images_kept": len(kept), "skipped": skipped}
    _write_meta(folder, {**meta, **new})
    shutil.rmtree(os.path.join(folder, _PARTS))
    if skipped:
        logger.warning("%d of %d images are broken and left out, such as %s", len(skipped), len(images), skipped[0])
    logger.info("Wrote features of %d images, %d dimensions, to %s", len(kept), width, folder)
    return new


def _read_places(parts: Sequence[str], images: Sequence[SourceImage]) -> tuple[list[int], list[dict[str, str]], int]:
    kept: list[int] = []
    skipped: list[dict[str, str]] = []
    widths = set()
    for part in parts:
        with np.load(part, allow_pickle=False) as stored:
            kept += stored["kept"].tolist()
            skipped += [
                {"img_path": images[place].img_path, "reason": reason}
                for place, reason in zip(stored["broken"].tolist(), stored["reasons"].tolist(), strict=True)
            ]
            if len(stored["kept"]):
                widths.add(int(stored["width"]))
    if len(widths) > 1:
        raise ValueError(f"the model returned features of {sorted(widths)} dimensions; it must be one number for all")
    return kept, skipped, next(iter(widths), 0)


def _write_rows(file: IO[bytes], images: Sequence[SourceImage]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    write_index(text, (_row(image) for image in images))
    text.flush()
    text.detach()


def _row(image: SourceImage) -> IndexRow:
    pid, camid = ("" if label is None else str(label) for label in (image.pid, image.camid))
    return IndexRow(image.img_path, pid, camid, image.split, image.identity, image.camera)


def _part(folder: str, number: int) -> str:
    return os.path.join(folder, _PARTS, f"{number:08d}.npz")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _write_meta(folder: str, meta: dict[str, Any]) -> None:
    text = json.dumps(meta, indent=2) + "\n"
    write_atomically(os.path.join(folder, META), lambda file: file.write(text.encode()))
