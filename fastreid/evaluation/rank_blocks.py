"""Rank the true matches of many queries in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..utils.progress import Progress
from .features import FeatureSet
from .rank import IdentityIndex, Rounding, rank_rows
from .scores import SCORE_REGISTRY
from .similarity import METRIC_REGISTRY, origin_of

__all__ = ["Adjust", "Adjustment", "ScoreConsumer", "query_blocks", "rank_matches", "sample_scores"]


class Adjustment(NamedTuple):
    """What becomes of the similarities of one query: they are multiplied by ``factor``, and ``summands`` are added.

    Similarities of different queries need not be comparable. Scores are: ``factor * (similarity - own) + summands +
    shift``, where ``own`` is the similarity of the query to itself.

    Args:
        factor: at least 0.
        summands: ``(G,)`` float.
        shift: for scores only; no ranking needs it.
    """

    factor: float
    summands: np.ndarray
    shift: float = 0.0


Adjust = Callable[[int], Adjustment]
"""From the number of a query, counted from the first of all, to what is done with its similarities."""

# With blocks of this size the product reads from the processor's cache; larger ones are no faster.
_CHUNK = 512  # gallery images that are made ready for the metric, and multiplied, at a time
_ROWS = 2048  # queries at a time, at most; for each block of them the gallery is made ready anew


class ScoreConsumer(Protocol):
    """What wants to see the scores of every query while they are there; scores compare between queries."""

    def add(self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int) -> None:
        """Take in one query.

        Args:
            query: its number.
            genuine: ``(M,)`` scores of its true matches.
            cautious: ``(M,)`` what they are at least, whatever rounding did.
            others: ``(G,)`` scores of the gallery, minus infinity at images of its identity; may be overwritten.
            own: how many images of the gallery are of its identity.
        """


def query_blocks(query: FeatureSet, gallery: FeatureSet, memory_gb: float = 0.25) -> list[slice]:
    """Cut the queries into the blocks that :func:`rank_matches` works on, one after the other.

    Args:
        query: Q images.
        gallery: G images.
        memory_gb: memory for one block, in units of 1e9 bytes, > 0; one query at a time is the least.
    """
    if memory_gb <= 0:
        raise ValueError(f"memory_gb must be > 0, got {memory_gb}")
    rows = _rows_at_a_time(len(query), *gallery.features.shape, int(memory_gb * 1e9))
    return [slice(start, min(start + rows, len(query))) for start in range(0, len(query), rows)]


@torch.no_grad()
def rank_matches(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    metric: str = "cosine",
    memory_gb: float = 0.25,
    blocks: Sequence[slice] | None = None,
    adjust: Adjust | None = None,
    consumer: ScoreConsumer | None = None,
) -> list[np.ndarray]:
    """Rank the true matches of every query without holding a query x gallery matrix.

    Similarities are computed for as many queries at a time as fit into ``memory_gb``, in one buffer that is used again
    and again. Gallery images with the identity and the camera of the query are left out; ties count against the match.

    Args:
        query: Q images; the features need not be normalised, and are not changed.
        gallery: G images, any number, with features of the same length.
        metric: a name in ``METRIC_REGISTRY``: ``cosine`` or ``euclidean``.
        memory_gb: memory to use beside the features, in units of 1e9 bytes, > 0; one query at a time is the least.
        blocks: some of ``query_blocks(query, gallery, memory_gb)``: rank only these queries; ``None``: all.
        adjust: changes the similarities of each query before they are ranked; ``None``: they stay as they are.
        consumer: gets the scores of these queries, one query at a time, so that nothing is multiplied twice.

    Returns:
        For each query ``(M,)`` int64 ranks in ascending order, 1-based; empty if the query has no match.

    Raises:
        ValueError: if the features differ in length, or a similarity is NaN or infinite (the message names the query).
        KeyError: if there is no such metric, or the consumer's scores are not defined for it.
    """
    if query.features.shape[1] != gallery.features.shape[1]:
        raise ValueError(
            f"query features have {query.features.shape[1]} dimensions and gallery features "
            f"{gallery.features.shape[1]}; both must come from one model"
        )
    blocks = query_blocks(query, gallery, memory_gb) if blocks is None else blocks
    project = METRIC_REGISTRY.get(metric)
    score = None if consumer is None or adjust is not None else SCORE_REGISTRY.get(metric)
    if not blocks:
        return []
    dtype = torch.promote_types(torch.promote_types(query.features.dtype, gallery.features.dtype), torch.float32)
    origin = origin_of(gallery.features[:_CHUNK].to(dtype))
    buffer = origin.new_empty(max(block.stop - block.start for block in blocks), len(gallery))  # (B, G)
    index = IdentityIndex(gallery.pids.cpu().numpy(), gallery.camids.cpu().numpy())
    pids, camids = query.pids.cpu().numpy(), query.camids.cpu().numpy()
    lengths, offsets = (of.cpu().numpy() for of in _describe(gallery.features, project, origin))  # both (G,)
    ranks: list[np.ndarray] = []
    total = sum(block.stop - block.start for block in blocks)
    with Progress(total=total, desc="Ranking", unit="query") as bar:
        for part in blocks:
            projected, offset = project(query.features[part].to(dtype), origin)  # (B, D)
            similarity = buffer[: len(projected)]
            _fill(similarity, projected, gallery.features, project, origin)
            query_lengths = projected.norm(dim=1).cpu().numpy()
            rounding = Rounding(query_lengths, lengths, np.abs(offsets))
            complete = _with_offsets(similarity.cpu().numpy(), offsets)
            on_row = None
            if adjust is not None:
                complete = rounding = _AdjustedRows(complete, adjust, part.start, rounding)
                on_row = None if consumer is None else complete.hand_on_to(consumer, _own(projected, offset))
            elif score is not None:
                on_row = _scored(consumer, score, part.start, query_lengths)
            ranks += rank_rows(
                complete, pids[part], camids[part], index, first_query=part.start, rounding=rounding, on_row=on_row
            )
            bar.update(len(projected))
    return ranks


@torch.no_grad()
def sample_scores(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    metric: str = "cosine",
    adjust: Adjust | None = None,
    queries: int = 64,
    images: int = 1024,
) -> np.ndarray:
    """Return the scores of some pairs, spread evenly over both sets; a look at their range before there are all.

    Args:
        query: Q images.
        gallery: G images.
        metric: a name in ``SCORE_REGISTRY``.
        adjust: as for :func:`rank_matches`.
        queries: how many of the queries, at most.
        images: how many of the gallery, at most.

    Returns:
        ``(min(Q, queries) * min(G, images),)`` float.
    """
    dtype = torch.promote_types(torch.promote_types(query.features.dtype, gallery.features.dtype), torch.float32)
    project = METRIC_REGISTRY.get(metric)
    origin = origin_of(gallery.features[:_CHUNK].to(dtype))
    rows, columns = (
        torch.linspace(0, len(of) - 1, min(most, len(of))).long() for of, most in ((query, queries), (gallery, images))
    )
    projected, own_offset = project(query.features[rows].to(dtype), origin)
    others, offset = project(gallery.features[columns].to(dtype), origin)
    similarity = projected @ others.t() if offset is None else torch.addmm(offset, projected, others.t())
    values = similarity.cpu().numpy()
    if adjust is None:
        score = SCORE_REGISTRY.get(metric)
        lengths = projected.norm(dim=1).square().cpu().numpy()
        scores = [score(row, length) for row, length in zip(values, lengths, strict=True)]
    else:
        own = zip(values, map(adjust, rows.tolist()), _own(projected, own_offset), strict=True)
        scores = [(row - itself) * by.factor + by.summands[columns.numpy()] + by.shift for row, by, itself in own]
    return np.concatenate(scores or [np.empty(0, dtype=np.float32)])


def _own(projected: Tensor, offset: Tensor | None) -> np.ndarray:
    """Return the similarity of each image to itself, ``(B,)``, from what a metric makes of the features."""
    products = projected.square().sum(dim=1)
    return (products if offset is None else products + offset).cpu().numpy()


def _scored(
    consumer: ScoreConsumer, score: Callable[..., np.ndarray], first: int, lengths: np.ndarray
) -> Callable[..., None]:
    """Return an ``on_row`` of :func:`rank_rows` that makes scores of similarities; ``lengths`` ``(B,)`` of queries."""

    def hand_on(number: int, genuine: np.ndarray, slack: np.ndarray | float, row: np.ndarray, own: int) -> None:
        squared = lengths[number - first] ** 2
        cautious = score(genuine - slack, squared)
        consumer.add(number, score(genuine, squared), cautious, score(row, squared), own)

    return hand_on


def _chunks(gallery: Tensor, dtype: torch.dtype, project: Callable[..., Any], origin: Tensor) -> Iterator[Any]:
    """Yield the places of some gallery features ``(G, D)``, with what the metric makes of them."""
    for start in range(0, len(gallery), _CHUNK):
        part = slice(start, start + _CHUNK)
        yield part, *project(gallery[part].to(dtype), origin)  # (C, D), (C,) or None


def _describe(gallery: Tensor, project: Callable[..., Any], origin: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lengths of the projected gallery features ``(G, D)`` and their offsets, ``(G,)`` each."""
    lengths, offsets = origin.new_zeros(len(gallery)), origin.new_zeros(len(gallery))
    for part, projected, offset in _chunks(gallery, origin.dtype, project, origin):
        lengths[part] = projected.norm(dim=1)
        if offset is not None:
            offsets[part] = offset
    return lengths, offsets


def _fill(block: Tensor, queries: Tensor, gallery: Tensor, project: Callable[..., Any], origin: Tensor) -> None:
    """Write the products of projected queries ``(B, D)`` and gallery ``(G, D)`` into ``block`` ``(B, G)``."""
    for part, projected, _ in _chunks(gallery, block.dtype, project, origin):
        torch.mm(queries, projected.t(), out=block[:, part])


def _with_offsets(block: np.ndarray, offsets: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of ``block`` ``(B, G)`` with the offsets ``(G,)`` added, each just before it is ranked."""
    has_offsets = offsets.any()
    for row in block:
        if has_offsets:
            row += offsets
        yield row


class _AdjustedRows:
    """Rows of similarities, each adjusted just before it is ranked, and how far rounding may move those of the last.

    Args:
        rows: one ``(G,)`` for each query of a block; they are overwritten.
        adjust: see :data:`Adjust`.
        first_query: number of the first row.
        rounding: of the rows before they are adjusted.
    """

    def __init__(self, rows: Iterator[np.ndarray], adjust: Adjust, first_query: int, rounding: Rounding) -> None:
        self._rows, self._adjust, self._first, self._rounding = rows, adjust, first_query, rounding

    def __iter__(self) -> Iterator[np.ndarray]:
        for query, row in enumerate(self._rows, start=self._first):
            self._last = self._adjust(query)
            row *= self._last.factor
            row += self._last.summands
            yield row

    def hand_on_to(self, consumer: ScoreConsumer, selves: np.ndarray) -> Callable[..., None]:
        """Return an ``on_row`` of :func:`rank_rows` that makes scores of the row that came last.

        Args:
            consumer: gets the scores.
            selves: ``(B,)`` similarities of the queries to themselves.
        """

        def hand_on(number: int, genuine: np.ndarray, slack: np.ndarray | float, row: np.ndarray, own: int) -> None:
            shift = self._last.shift - self._last.factor * selves[number - self._first]
            consumer.add(number, genuine + shift, genuine - slack + shift, row + shift, own)

        return hand_on

    def slack(self, row: int, places: np.ndarray) -> np.ndarray:
        """Return it for the similarities of the row that came last to the gallery images at ``places``, ``(M,)``."""
        before = self._rounding.slack(row, places)
        return self._last.factor * before + 8 * np.finfo(before.dtype).eps * np.abs(self._last.summands[places])

    def proves_finite(self) -> bool:
        """Nothing is known of a factor before it is used."""
        return False


def _rows_at_a_time(queries: int, gallery: int, dimensions: int, budget: int) -> int:
    """Return how many queries fit into ``budget`` bytes, with room for three float32 copies of what is projected."""
    chunk = 12 * dimensions * min(gallery, _CHUNK)
    most = max(1, min(_ROWS, (budget - chunk) // (4 * gallery + 12 * dimensions + 1)))
    return max(1, -(-queries // -(-queries // most))) if queries else 1
