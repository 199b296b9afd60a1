"""Rank the true matches of queries against a gallery that comes in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .rank import Rounding, _count_reaching, _require_finite

__all__ = ["rank_parts"]


def rank_parts(
    parts: Iterable[tuple[int, np.ndarray]],
    own: Sequence[tuple[np.ndarray, np.ndarray]],
    genuine: Sequence[np.ndarray],
    *,
    first_query: int = 0,
    rounding: Rounding,
    on_part: Callable[..., None] | None = None,
) -> list[np.ndarray]:
    """Rank the true matches of several queries; the ranks are those of ``rank_rows``.

    A rank is a count of the images that are ahead, and counts of parts add up.

    Args:
        parts: place of the first image and similarities ``(B, C)`` of one part of the gallery after the other; what
            they say of images of the query's identity is overwritten.
        own: for each query the places in the gallery of its true matches ``(M,)`` and of its junk ``(J,)``.
        genuine: for each query the similarities of its true matches ``(M,)``.
        first_query: number of the first query.
        rounding: how far apart equal similarities may be.
        on_part: is called like ``on_row`` of ``rank_rows``, for each query and part, with the place of the part as a
            sixth argument. The first part comes with all true matches of the query, the others with none.

    Returns:
        For each query ``(M,)`` int64 ranks in ascending order, 1-based; empty if it has no match.

    Raises:
        ValueError: if a similarity is NaN or infinite; the message says how many are, and of which query.
    """
    must_look = not rounding.proves_finite()
    slacks = [rounding.slack(row, matches) for row, (matches, _) in enumerate(own)]
    bars = [np.sort(values - slack)[::-1] for values, slack in zip(genuine, slacks, strict=True)]
    ahead = [np.arange(1, values.size + 1) for values in bars]
    hidden = [np.sort(np.concatenate(places)) for places in own]
    for start, block in parts:
        for number, row in enumerate(block):
            if must_look:
                what = f"the similarity of query {first_query + number} to gallery images from {start} on"
                _require_finite(row, what)
            here = hidden[number][slice(*np.searchsorted(hidden[number], (start, start + row.size)))]
            row[here - start] = -np.inf
            ahead[number] += _count_reaching(row, bars[number])
            if on_part is not None:
                of_part = slice(None) if start == 0 else slice(0)
                values, slack = genuine[number][of_part].copy(), slacks[number][of_part]
                on_part(first_query + number, values, slack, row, here.size, start)
    return ahead
