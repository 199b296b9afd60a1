"""What a page reads: arrays and plain values as scripts, since a page that is opened from disk may not fetch files."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.labels import natural_key
from ...evaluation.rank_lists import RankList

__all__ = [
    "LIST_CHUNK",
    "MOST_MATCHES",
    "PATH_CHUNK",
    "image_payload",
    "list_payload",
    "packed",
    "path_payload",
    "query_payload",
    "script",
]

LIST_CHUNK = 64
"""Queries whose lists are in one script."""

PATH_CHUNK = 2048
"""Images whose paths are in one script."""

MOST_MATCHES = 100
"""True matches of a query that are listed, at most; the best ranks come first."""

_TYPES = {"f4": "<f4", "u1": "u1", "u2": "<u2", "u4": "<u4"}


def packed(values: Sequence[Any] | np.ndarray, kind: str) -> dict[str, str]:
    """Return numbers as text: the base64 of their little-endian bytes, by the name of their type.

    Args:
        values: ``(N,)``.
        kind: ``f4``, ``u1``, ``u2`` or ``u4``.

    Raises:
        ValueError: if the type cannot hold a number; a float may be NaN.

    Example:
        >>> packed([1, 2], "u2")
        {'u2': 'AQACAA=='}
    """
    found = np.asarray(values)
    if kind != "f4" and found.size:
        top = np.iinfo(_TYPES[kind]).max
        if found.min() < 0 or found.max() > top:
            raise ValueError(f"numbers from {found.min()} to {found.max()} do not fit into {kind}, which ends at {top}")
    return {kind: base64.b64encode(found.astype(_TYPES[kind]).tobytes()).decode("ascii")}


def script(name: str, payload: Any) -> str:
    """Return a script that hands a payload to the page; all of it ASCII.

    Raises:
        ValueError: if a number is NaN or infinite outside of :func:`packed`.
    """
    text = json.dumps(payload, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"Report.load({json.dumps(name)}, {text});\n"


def image_payload(
    identities: Sequence[str], cameras: Sequence[str], splits: Sequence[str], queries: Sequence[int] | np.ndarray
) -> dict[str, Any]:
    """Return the labels of the images of a report, and which of them are the queries.

    Args:
        identities: of N images, as people call them.
        cameras: likewise; empty where none is known.
        splits: likewise.
        queries: ``(Q,)`` numbers among the N.

    Returns:
        ``queries``; ``identities``, the different ones in natural order, and ``identity`` ``(N,)``, the number of each
        image's; likewise ``cameras``, ``camera``, ``splits`` and ``split``.
    """
    payload: dict[str, Any] = {"queries": packed(queries, "u4")}
    for plural, singular, texts, kind in (
        ("identities", "identity", identities, "u4"),
        ("cameras", "camera", cameras, "u2"),
        ("splits", "split", splits, "u1"),
    ):
        names = sorted(set(texts), key=natural_key)
        numbers = {name: number for number, name in enumerate(names)}
        payload |= {plural: names, singular: packed([numbers[text] for text in texts], kind)}
    return payload


def path_payload(paths: Sequence[str]) -> dict[str, Any]:
    """Return paths with each folder written once."""
    parts = [os.path.split(path) for path in paths]
    folders = sorted({folder for folder, _ in parts})
    numbers = {folder: number for number, folder in enumerate(folders)}
    return {
        "folders": folders,
        "folder": packed([numbers[folder] for folder, _ in parts], "u2"),
        "names": [name for _, name in parts],
    }


def query_payload(
    lists: Sequence[RankList],
    best_others: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return what the list of queries shows of one run.

    Args:
        lists: of Q queries.
        best_others: ``(Q,)`` scores of the nearest image of another identity; NaN: there is none.
        pairs: for each query and camera of its true matches ``query``, ``camera`` (number of its name) and
            ``precision``, ``(S,)`` each, sorted by query; ``None``: cameras are not known.

    Returns:
        Arrays ``(Q,)``: ``ap`` (NaN: no true match), ``best`` (the best rank; 0: none), ``matches`` (their number),
        ``top``, ``match`` and ``other`` (scores of the first image, the best true match and the nearest other
        identity; NaN: none). With cameras ``pairStart`` ``(Q + 1,)``, ``pairCamera`` and ``pairAp`` ``(S,)``.
    """
    payload = {
        "ap": packed([own.average_precision for own in lists], "f4"),
        "best": packed([own.match_ranks[0] if own.match_ranks.size else 0 for own in lists], "u4"),
        "matches": packed([own.match_ranks.size for own in lists], "u4"),
        "top": packed([_first(own.scores[own.ranks > 0]) for own in lists], "f4"),
        "match": packed([_first(own.match_scores) for own in lists], "f4"),
        "other": packed(best_others, "f4"),
    }
    if pairs is not None:
        query, camera, precision = pairs
        payload["pairStart"] = packed(np.searchsorted(query, np.arange(len(lists) + 1)), "u4")
        payload["pairCamera"] = packed(camera, "u2")
        payload["pairAp"] = packed(precision, "f4")
    return payload


def _first(values: np.ndarray) -> float:
    return float(values[0]) if values.size else float("nan")


def list_payload(lists: Sequence[RankList], number_of: np.ndarray) -> dict[str, Any]:
    """Return the rank lists of some queries of one run.

    Args:
        lists: of L queries.
        number_of: ``(N,)`` int64, for each place of the test set the number of the image in the report.

    Returns:
        ``start`` ``(L + 1,)``, where each list begins in ``image``, ``kind`` and ``score``; ``matchStart``, where the
        true matches of each begin in ``matchImage``, ``matchRank`` and ``matchScore``, at most :data:`MOST_MATCHES`.
    """
    cut = slice(0, MOST_MATCHES)
    return {
        "start": packed(np.cumsum([0, *(own.places.size for own in lists)]), "u4"),
        "image": packed(number_of[_joined([own.places for own in lists], np.int64)], "u4"),
        "kind": packed(_joined([own.kinds for own in lists], np.int64), "u1"),
        "score": packed(_joined([own.scores for own in lists], np.float32), "f4"),
        "matchStart": packed(np.cumsum([0, *(own.match_places[cut].size for own in lists)]), "u4"),
        "matchImage": packed(number_of[_joined([own.match_places[cut] for own in lists], np.int64)], "u4"),
        "matchRank": packed(_joined([own.match_ranks[cut] for own in lists], np.int64), "u4"),
        "matchScore": packed(_joined([own.match_scores[cut] for own in lists], np.float32), "f4"),
    }


def _joined(parts: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
