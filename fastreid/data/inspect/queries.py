"""Checks of the test: whether a query can be found, by the protocol that will be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..protocol import embedded_images
from .build import register_check
from .finding import Case, Finding, Severity, counted
from .subject import LabelledSplit, Subject

__all__ = [
    "BY_CAMERA",
    "PROTOCOLS",
    "can_be_ranked",
    "check_queries",
    "check_test",
    "resolve_protocol",
    "searched_gallery",
    "tested_queries",
    "true_matches",
]

PROTOCOLS = ("auto", "market1501", "cameraless", "cuhk03", "leave_one_out")
"""Values of ``TEST.PROTOCOL`` that the doctor knows."""

BY_CAMERA = ("market1501", "cuhk03")
"""Those that leave out images of the query's identity by its own camera."""


def resolve_protocol(protocol: str, query: LabelledSplit, gallery: LabelledSplit) -> str:
    """Return what ``auto`` means for a test set; empty if there are no test images.

    Where there is no gallery, a run by ``auto`` stops; such sets are made for ``leave_one_out``, which is returned.

    Raises:
        ValueError: if there is no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if not len(query) + len(gallery):
        return ""
    if protocol != "auto":
        return protocol
    if not len(gallery):
        return "leave_one_out"
    return "cameraless" if (query.cams < 0).all() and (gallery.cams < 0).all() else "market1501"


def tested_queries(subject: Subject) -> LabelledSplit:
    """Return the queries: by ``leave_one_out`` every test image, once."""
    return _each_once(subject.test) if subject.protocol == "leave_one_out" else subject.split("query")


def searched_gallery(subject: Subject) -> LabelledSplit:
    """Return the images that queries are looked for in: by ``leave_one_out`` every test image, once."""
    return _each_once(subject.test) if subject.protocol == "leave_one_out" else subject.split("gallery")


def can_be_ranked(subject: Subject) -> bool:
    """Tell whether there are queries and a gallery, and the cameras that the protocol asks for."""
    if not len(tested_queries(subject)) or not len(searched_gallery(subject)):
        return False
    return subject.protocol not in BY_CAMERA or bool((subject.test.cams >= 0).all())


def _each_once(split: LabelledSplit) -> LabelledSplit:
    first = np.sort(np.unique(split.files, return_index=True)[1])
    return LabelledSplit(split.files[first], split.pids[first], split.cams[first])


def true_matches(query: LabelledSplit, gallery: LabelledSplit, *, by_camera: bool) -> np.ndarray:
    """Count the true matches of each query.

    Args:
        query: Q images.
        gallery: G images.
        by_camera: whether images of the query's identity by its own camera are left out, as by ``market1501``;
            otherwise only the query's own file is.

    Returns:
        ``(Q,)`` int64.
    """
    own = (query.cams, gallery.cams) if by_camera else (query.files, gallery.files)
    return _count(query.pids, gallery.pids) - _count_pairs((query.pids, own[0]), (gallery.pids, own[1]))


def _count(wanted: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return how often each of ``wanted`` is ``there``."""
    values, counts = np.unique(there, return_counts=True)
    if not values.size:
        return np.zeros(len(wanted), dtype=np.int64)
    place = np.searchsorted(values, wanted).clip(max=values.size - 1)
    return np.where(values[place] == wanted, counts[place], 0)


def _count_pairs(wanted: tuple[np.ndarray, np.ndarray], there: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return how often each pair of numbers of ``wanted`` is ``there``."""
    pairs = np.concatenate([np.stack(wanted, axis=1), np.stack(there, axis=1)])  # (W + T, 2)
    numbers = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return _count(numbers[: len(wanted[0])], numbers[len(wanted[0]) :])


@register_check("no-query", "no-gallery", "protocol")
def check_test(subject: Subject) -> Iterator[Finding]:
    """Report test sets that a test would refuse."""
    query, gallery = subject.split("query"), subject.split("gallery")
    listed = {"query", "gallery"} <= set(subject.splits)
    if not subject.protocol or not listed:
        return
    if subject.protocol == "leave_one_out":
        if subject.asked == "auto":
            message = "there is no gallery, so only TEST.PROTOCOL leave_one_out can test it, by which it was checked"
            yield Finding("note", "no-gallery", message)
        return
    if subject.protocol == "cameraless" and len(query) and len(gallery):
        return  # what it refuses then are queries in the gallery, which have a finding of their own
    try:
        embedded_images(subject.protocol, subject.name, _items(subject, query), _items(subject, gallery))
    except ValueError as error:
        yield Finding("error", "protocol" if len(query) and len(gallery) else "no-query", str(error))


def _items(subject: Subject, split: LabelledSplit) -> Sequence[tuple[Any, ...]]:
    return [(subject.paths[file], pid, cam) for file, pid, cam in zip(split.files, split.pids, split.cams)]


@register_check(
    "query-absent", "query-own-camera", "query-own-image", "query-unreadable-matches", "query-nobody", "no-true-match"
)
def check_queries(subject: Subject) -> Iterator[Finding]:
    """Report queries without a true match, and why."""
    query, gallery = tested_queries(subject), searched_gallery(subject)
    if not can_be_ranked(subject):
        return
    by_camera = subject.protocol in BY_CAMERA
    of_identity = _count(query.pids, gallery.pids)
    matches = true_matches(query, gallery, by_camera=by_camera)
    usable = true_matches(query, _only(gallery, subject.readable[gallery.files]), by_camera=by_camera)
    nobody = np.isin(query.pids, list(subject.nobody))
    camera = by_camera & ~nobody & (of_identity > 0) & (matches == 0)
    total, protocol = len(query), subject.protocol
    alone = protocol == "leave_one_out"  # where a query is in the gallery by itself
    there, found = of_identity > alone, matches > 0
    absent = "there is no other image of their identity" if alone else "the gallery does not have their identity"
    cases = (
        ("error", "query-nobody", nobody, "their identity is nobody, a distractor or junk, so what they find is wrong"),
        ("warning", "query-absent", ~nobody & ~there, f"{absent}; they count in open-set numbers only"),
        (
            "warning",
            "query-own-camera",
            camera,
            f"their identity is seen by their own camera only, which {protocol} leaves out",
        ),
        (
            "warning",
            "query-own-image",
            ~nobody & ~camera & there & ~found,
            "their identity is there as the same image only",
        ),
        ("warning", "query-unreadable-matches", ~nobody & found & (usable == 0), "their true matches cannot be read"),
    )
    for severity, kind, chosen, why in cases:
        if chosen.any():
            yield _finding(subject, query, severity, kind, chosen, why)
    if not ((matches > 0) & ~nobody).any():
        message = (
            f"none of {counted(total, 'query')} has a true match by the protocol {protocol}, so there are no numbers"
        )
        yield Finding("error", "no-true-match", message, total)


def _finding(
    subject: Subject, query: LabelledSplit, severity: Severity, kind: str, chosen: np.ndarray, why: str
) -> Finding:
    places = np.flatnonzero(chosen)
    cases = [
        Case((subject.paths[query.files[place]],), f"identity {subject.identities[query.pids[place]]}")
        for place in places[: subject.most]
    ]
    message = f"{places.size} of {counted(len(query), 'query')}: {why}"
    return Finding(severity, kind, message, int(places.size), tuple(cases))


def _only(split: LabelledSplit, chosen: np.ndarray) -> LabelledSplit:
    return LabelledSplit(split.files[chosen], split.pids[chosen], split.cams[chosen])
