"""Which test sets a protocol can be applied to; ``evaluation/protocol.py`` applies it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from typing import Any

__all__ = ["check_protocol"]


def check_protocol(
    protocol: str, name: str, query: Sequence[tuple[Any, ...]], gallery: Sequence[tuple[Any, ...]]
) -> None:
    """Make sure, before a model runs over a test set, that its numbers will mean something.

    Args:
        protocol: ``TEST.PROTOCOL``.
        name: of the test set.
        query: its ``(img_path, pid, camid)``.
        gallery: likewise.

    Raises:
        ValueError: if the protocol (that which ``auto`` means for this set) is ``market1501`` and there are images
            without a camera, or ``cameraless`` and an image is a query and in the gallery too.
    """
    unknown = sum(item[2] < 0 for item in chain(query, gallery))
    if protocol == "auto":
        protocol = "cameraless" if unknown == len(query) + len(gallery) else "market1501"
    if protocol == "market1501" and unknown:
        raise ValueError(
            f"{name}: no camera is known of {unknown} of {len(query) + len(gallery)} test images, but "
            "TEST.PROTOCOL market1501 leaves out images by the query's own camera; set TEST.PROTOCOL cameraless to "
            "leave out none, or give the cameras (column camid of a csv)"
        )
    if protocol == "cameraless":
        queries = {os.path.abspath(item[0]) for item in query}
        twice = next((item[0] for item in gallery if os.path.abspath(item[0]) in queries), None)
        if twice:
            raise ValueError(
                f"{name}: {twice} is a query and in the gallery, where TEST.PROTOCOL cameraless would find it as its "
                "own best match; take it out of one of the two"
            )
