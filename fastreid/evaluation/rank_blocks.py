"""Rank the true matches of many queries in bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..utils.progress import Progress
from .features import FeatureSet
from .memory_budget import fit_block
from .rank import IdentityIndex, Rounding, rank_rows
from .rank_parts import rank_parts
from .scores import SCORE_REGISTRY
from .similarity import METRIC_REGISTRY, origin_of

__all__ = [
    "Adjust",
    "Adjustment",
    "ScoreConsumer",
    "query_blocks",
    "rank_matches",
    "sample_scores",
    "smallest_block_bytes",
]


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

    def add(
        self,
        query: int,
        genuine: np.ndarray,
        cautious: np.ndarray,
        others: np.ndarray,
        own: int,
        start: int = 0,
    ) -> None:
        """Take in one query, or, of a large gallery, one part of it after the other.

        Args:
            query: its number.
            genuine: ``(M,)`` scores of its true matches; all of them come with the first part, none with the others.
            cautious: ``(M,)`` what they are at least, whatever rounding did.
            others: ``(C,)`` scores of the gallery, minus infinity at images of its identity; may be overwritten.
            own: how many images of the part are of its identity.
            start: place of the part in the gallery.
        """


def query_blocks(
    query: FeatureSet, gallery: FeatureSet, memory_gb: float = 1.0, *, whole_rows: bool = False
) -> list[slice]:
    """Cut the queries into the blocks that :func:`rank_matches` works on, one after the other.

    Args:
        query: Q images.
        gallery: G images.
        memory_gb: memory for one block, in units of 1e9 bytes, > 0.
        whole_rows: a block has the whole gallery, as it must where similarities are adjusted; then it has fewer queries
            if the memory is small.

    Raises:
        ValueError: if the memory is too small for a block.
    """
    rows, _ = _block_shape(len(query), *gallery.features.shape, memory_gb, whole_rows)
    return [slice(start, min(start + rows, len(query))) for start in range(0, len(query), rows)]


def smallest_block_bytes(query: FeatureSet, gallery: FeatureSet, *, whole_rows: bool = False) -> int:
    """Return how many bytes :func:`rank_matches` needs at least, beside the features; arguments as above."""
    fewest_rows, fewest_columns = _fewest(len(query), len(gallery), whole_rows)
    return _block_bytes(gallery.features.shape[1], fewest_rows, fewest_columns)


@torch.no_grad()
def rank_matches(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    metric: str = "cosine",
    memory_gb: float = 1.0,
    blocks: Sequence[slice] | None = None,
    adjust: Adjust | None = None,
    consumer: ScoreConsumer | None = None,
) -> list[np.ndarray]:
    """Rank the true matches of every query without holding a query x gallery matrix.

    Similarities are computed in blocks that fit into ``memory_gb``, in one buffer that is used again and again: of some
    queries to the whole gallery, or, if it is too large for that, to one part of it after the other. So time grows no
    faster than the gallery. The features may lie on disk (``numpy.memmap``): of the gallery's, no more than a few
    hundred at a time are copied. Gallery images with the identity and the camera of the query are left out; ties count
    against the match.

    Args:
        query: Q images; the features need not be normalised, and are not changed.
        gallery: G images, any number, with features of the same length.
        metric: a name in ``METRIC_REGISTRY``: ``cosine`` or ``euclidean``.
        memory_gb: memory to use beside the features and some numbers an image, in units of 1e9 bytes, > 0.
        blocks: some of ``query_blocks(query, gallery, memory_gb, whole_rows=adjust is not None)``: rank only these
            queries; ``None``: all.
        adjust: changes the similarities of each query before they are ranked; ``None``: they stay as they are. With it,
            the whole gallery is in a block.
        consumer: gets the scores of these queries, one query at a time, so that nothing is multiplied twice.

    Returns:
        For each query ``(M,)`` int64 ranks in ascending order, 1-based; empty if the query has no match.

    Raises:
        ValueError: if the features differ in length, the memory is too small for a block, or a similarity
            is NaN or infinite (the message names the query).
        KeyError: if there is no such metric, or the consumer's scores are not defined for it.
    """
    if query.features.shape[1] != gallery.features.shape[1]:
        raise ValueError(
            f"query features have {query.features.shape[1]} dimensions and gallery features "
            f"{gallery.features.shape[1]}; both must come from one model"
        )
    whole_rows = adjust is not None
    blocks = query_blocks(query, gallery, memory_gb, whole_rows=whole_rows) if blocks is None else blocks
    project = METRIC_REGISTRY.get(metric)
    score = None if consumer is None or adjust is not None else SCORE_REGISTRY.get(metric)
    if not blocks:
        return []
    dtype = torch.promote_types(torch.promote_types(query.features.dtype, gallery.features.dtype), torch.float32)
    origin = origin_of(gallery.features[:_CHUNK].to(dtype))
    _, columns = _block_shape(len(query), *gallery.features.shape, memory_gb, whole_rows)
    buffer = origin.new_empty(max(block.stop - block.start for block in blocks), columns)  # (B, G), or (B, C)
    index = IdentityIndex(gallery.pids.cpu().numpy(), gallery.camids.cpu().numpy())
    pids, camids = query.pids.cpu().numpy(), query.camids.cpu().numpy()
    lengths, offsets = (of.cpu().numpy() for of in _describe(gallery.features, project, origin))  # both (G,)
    ranks: list[np.ndarray] = []
    total = sum(block.stop - block.start for block in blocks)
    with Progress(total=total, desc="Ranking", unit="query") as bar:
        for part in blocks:
            projected, offset = project(query.features[part].to(dtype), origin)  # (B, D)
            similarity = buffer[: len(projected)]
            query_lengths = projected.norm(dim=1).cpu().numpy()
            rounding = Rounding(query_lengths, lengths, np.abs(offsets))
            if columns < len(gallery):
                own = [index.lookup(*of) for of in zip(pids[part].tolist(), camids[part].tolist(), strict=True)]
                ranks += rank_parts(
                    _parts(similarity, projected, gallery.features, project, origin, offsets),
                    own,
                    _chosen([places for places, _ in own], similarity, projected, gallery, project, origin, offsets),
                    first_query=part.start,
                    rounding=rounding,
                    on_part=None if score is None else _scored(consumer, score, part.start, query_lengths),
                )
                bar.update(len(projected))
                continue
            _fill(similarity, projected, gallery.features, project, origin)
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
    """Return an ``on_row`` or ``on_part`` that makes scores of similarities; ``lengths`` ``(B,)`` of the queries."""

    def hand_on(
        number: int, genuine: np.ndarray, slack: np.ndarray | float, row: np.ndarray, own: int, start: int = 0
    ) -> None:
        squared = lengths[number - first] ** 2
        cautious = score(genuine - slack, squared)
        consumer.add(number, score(genuine, squared), cautious, score(row, squared), own, start)

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


def _parts(
    buffer: Tensor, queries: Tensor, gallery: Tensor, project: Callable[..., Any], origin: Tensor, offsets: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the similarities of projected queries ``(B, D)`` to one part of the gallery ``(G, D)`` after the other.

    Each comes with the place of its first image, as ``(B, C)``, in the buffer ``(B, C)``.
    """
    for start in range(0, len(gallery), buffer.shape[1]):
        part = slice(start, start + buffer.shape[1])
        block = buffer[:, : len(gallery[part])]
        _fill(block, queries, gallery[part], project, origin)
        similarity = block.cpu().numpy()
        similarity += offsets[part]
        yield start, similarity


def _chosen(
    places: Sequence[np.ndarray],
    buffer: Tensor,
    queries: Tensor,
    gallery: FeatureSet,
    project: Callable[..., Any],
    origin: Tensor,
    offsets: np.ndarray,
) -> list[np.ndarray]:
    """Return the similarities of each projected query ``(B, D)`` to chosen gallery images, computed in the buffer.

    They come from products of the same shape as those of whole parts, so that equal features are equally similar.
    """
    sizes = [len(of_one) for of_one in places]
    rows, columns = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([*places, np.empty(0, dtype=np.int64)])
    images, position = np.unique(columns, return_inverse=True)
    similarity = np.empty(len(columns), dtype=offsets.dtype)
    order = np.argsort(position, kind="stable")
    position = position[order]
    for start in range(0, len(images), _CHUNK):
        some = torch.from_numpy(
            np.resize(images[start : start + _CHUNK], _CHUNK)
        )  # the last ones again, if there are few
        block = buffer[:, :_CHUNK]
        _fill(block, queries, gallery.features[some], project, origin)
        part = slice(*np.searchsorted(position, (start, start + _CHUNK)))
        similarity[order[part]] = block.cpu().numpy()[rows[order[part]], position[part] - start]
    similarity += offsets[columns]
    return np.split(similarity, np.cumsum(sizes)[:-1])


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


def _block_shape(queries: int, gallery: int, dimensions: int, memory_gb: float, whole_rows: bool) -> tuple[int, int]:
    """Return how many queries, and how many gallery images, a block has; see :func:`fit_block`.

    The number of queries depends on the memory only if it must: products of another shape are rounded otherwise.
    """
    together = _evened(queries, _ROWS)
    fewest_rows, fewest_columns = _fewest(queries, gallery, whole_rows)
    rows, columns = fit_block(
        memory_gb,
        functools.partial(_block_bytes, dimensions),
        rows=together,
        columns=gallery,
        fewest_rows=fewest_rows,
        fewest_columns=fewest_columns,
        what=f"ranking a query against {gallery} images" if whole_rows else f"ranking {together} queries at a time",
    )
    return _evened(queries, rows), columns if columns == gallery else columns - columns % _CHUNK


def _fewest(queries: int, gallery: int, whole_rows: bool) -> tuple[int, int]:
    """Return the fewest queries and gallery images of a block."""
    return (1, gallery) if whole_rows else (_evened(queries, _ROWS), min(_CHUNK, gallery))


def _block_bytes(dimensions: int, rows: int, columns: int) -> int:
    """Return what a block takes, with room for three float32 copies of what is projected."""
    return 12 * dimensions * (rows + min(columns, _CHUNK)) + 4 * rows * columns


def _evened(queries: int, most: int) -> int:
    """Return the size of equal blocks of queries, at most ``most`` each."""
    return -(-queries // -(-queries // most)) if queries else 1
