"""Identities and cameras as texts that can be compared between the splits of a data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["labels_as_texts", "natural_key"]


def labels_as_texts(dataset: Any, split: str, items: Sequence[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Return identity and camera of each item of a split, so that equal texts mean the same one in all splits.

    Training labels are ``<dataset_name>_<number>`` and those of the test are numbers, so the prefix goes; one's own
    images have the labels that their owner wrote. In training an unknown camera has a number too, so a data set's own
    count of its cameras, ``get_num_cams``, tells whether they are known.

    Args:
        dataset: a data set.
        split: ``train``, ``query`` or ``gallery``.
        items: all that it lists for the split, ``(img_path, pid, camid)``.

    Returns:
        A camera that is not known is empty.
    """
    if hasattr(dataset, "labels_as_written"):
        written = dataset.labels_as_written(split)
        if len(written) == len(items):  # not so with COMBINEALL, which adds to the items of training
            return written
    prefix = f"{getattr(dataset, 'dataset_name', '')}_"
    has_cameras = not hasattr(dataset, "get_num_cams") or dataset.get_num_cams(items) > 0
    return [
        (str(pid).removeprefix(prefix), _camera(camid, prefix) if has_cameras else "") for _, pid, camid, *_ in items
    ]


def _camera(camid: Any, prefix: str) -> str:
    return "" if not isinstance(camid, str) and camid < 0 else str(camid).removeprefix(prefix)


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key by which texts are sorted as people do.

    Example:
        >>> sorted(["c10", "c2", "door"], key=natural_key)
        ['c2', 'c10', 'door']
    """
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], text
