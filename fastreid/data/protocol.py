"""Which test sets a protocol can be applied to; ``evaluation/protocol.py`` applies it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from typing import Any

__all__ = ["check_protocol", "embedded_images"]


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
        ValueError: if the protocol (that which ``auto`` means for this set) is ``market1501`` or ``cuhk03`` and there
            are images without a camera, or ``cameraless`` and an image is a query and in the gallery too.
    """
    unknown = sum(item[2] < 0 for item in chain(query, gallery))
    if protocol == "auto":
        protocol = "cameraless" if unknown == len(query) + len(gallery) else "market1501"
    if protocol in ("market1501", "cuhk03") and unknown:
        raise ValueError(
            f"{name}: no camera is known of {unknown} of {len(query) + len(gallery)} test images, but "
            f"TEST.PROTOCOL {protocol} leaves out images by the query's own camera; set TEST.PROTOCOL cameraless to "
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


def embedded_images(
    protocol: str, name: str, query: Sequence[tuple[Any, ...]], gallery: Sequence[tuple[Any, ...]]
) -> tuple[list[tuple[Any, ...]], int]:
    """Return the images that a model must embed for a test, queries first, and how many of them are queries.

    By ``leave_one_out`` every image is query and gallery, so each is there once, and none counts as a query.

    Args:
        protocol: ``TEST.PROTOCOL``.
        name: of the test set.
        query: its ``(img_path, pid, camid)``.
        gallery: likewise; by ``leave_one_out`` one of the two may be empty, or both the same.

    Raises:
        ValueError: if there is no query or no gallery, see also :func:`check_protocol`; by ``leave_one_out`` if there
            is no image, or one with two identities.
    """
    if protocol == "leave_one_out":
        return _each_once(name, [*query, *gallery]), 0
    if not query and not gallery:
        raise ValueError(
            f"{name} has no query images (nor a gallery: it is for training only, or of split test no identity has two "
            "images), so it cannot be tested on; add some, or take it out of DATASETS.TESTS"
        )
    if not gallery:
        raise ValueError(
            f"{name} has queries, but no gallery; look for each image among all others, as published numbers of such "
            "sets do: TEST.PROTOCOL leave_one_out, TEST.EVALUATOR RetrievalEvaluator"
        )
    if not query:
        raise ValueError(
            f"{name} has no query images (of split test, an identity needs two images), so it cannot be tested on; add "
            "some, or take it out of DATASETS.TESTS; or look for each image among all others: TEST.PROTOCOL "
            "leave_one_out, TEST.EVALUATOR RetrievalEvaluator"
        )
    check_protocol(protocol, name, query, gallery)
    return [*query, *gallery], len(query)


def _each_once(name: str, items: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if not items:
        raise ValueError(f"{name} has no test images; take it out of DATASETS.TESTS")
    images: dict[str, tuple[Any, ...]] = {}
    for item in items:
        first = images.setdefault(os.path.abspath(item[0]), item)
        if first[1] != item[1]:
            raise ValueError(f"{name}: {item[0]} has the identities {first[1]} and {item[1]}; give an image one")
    return list(images.values())
