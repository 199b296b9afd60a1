"""The nearest of many features, exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..utils.progress import Progress
from .memory_budget import fit_block
from .similarity import METRIC_REGISTRY, origin_of

__all__ = ["KNN_ENGINES", "Neighbours", "best", "knn", "knn_blocks", "pair_similarity"]

KNN_ENGINES = ("auto", "torch", "faiss")
"""Names of the engines. ``auto`` is ``torch``: as fast as faiss on a CPU, exact on ties, and at home on a GPU."""

_ROWS, _COLUMNS = 4096, 8192  # a block of similarities, at most: larger ones are no faster
_CHUNK = 1024  # database images that are made ready for the metric, and multiplied, at a time
_ORIGIN = 512  # images that say where the features are
_PAIRS = 2048  # whose similarity is computed at a time
_TIED_ROWS = 256  # rows with a tie at the border that are sorted out at a time


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of some queries.

    Args:
        places: ``(Q, K)`` int64 positions in the database, the nearest first; of equals the lower position first.
        similarity: ``(Q, K)`` float, how similar they are; higher is closer.
        lowest: ``(Q,)`` float, the similarity to the farthest image of the database; ``inf`` if that is empty.
    """

    places: Tensor
    similarity: Tensor
    lowest: Tensor


def knn_blocks(queries: int, dimensions: int, memory_gb: float = 0.25) -> list[slice]:
    """Cut the queries into the blocks that :func:`knn` works on, one after the other.

    Args:
        queries: Q, at least 0.
        dimensions: D.
        memory_gb: memory for one block, in units of 1e9 bytes, > 0.

    Raises:
        ValueError: if it is too small for one image.
    """
    rows, _ = _block_size(dimensions, memory_gb)
    return [slice(start, min(start + rows, queries)) for start in range(0, queries, rows)]


@torch.no_grad()
def knn(
    query: Tensor,
    database: Tensor,
    k: int,
    *,
    metric: str = "cosine",
    engine: str = "auto",
    memory_gb: float = 0.25,
    blocks: Sequence[slice] | None = None,
    device: torch.device | None = None,
) -> Neighbours:
    """Find the ``k`` nearest database images of every query.

    Nothing is approximate. Of database images that are equally similar, as computed, those with the lower positions
    are taken, by the engine ``torch``; faiss promises nothing about ties.

    Args:
        query: ``(Q, D)`` finite float features, not changed; they need not be normalised.
        database: ``(M, D)`` finite float features; may be the same tensor, and then each image also finds itself.
        k: how many, at least 1; if there are fewer than ``k`` images, all of them are found.
        metric: a name in ``METRIC_REGISTRY``: ``cosine`` or ``euclidean``.
        engine: a name of :data:`KNN_ENGINES`; ``faiss`` computes on the CPU, in float32.
        memory_gb: memory to use beside the features and the result, in units of 1e9 bytes, > 0.
        blocks: some of ``knn_blocks(Q, D, memory_gb)``: find the neighbours of these queries only; ``None``: of all.
        device: compute there, block by block; ``None``: where the queries are.

    Returns:
        The neighbours, on the queries' device.

    Raises:
        ValueError: if ``k`` or ``engine`` is none of these, the features differ in length, the memory is too small for
            one image, or a similarity is NaN or infinite (the message names the query).
        KeyError: if there is no such metric.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if engine not in KNN_ENGINES:
        raise ValueError(f"engine must be one of {', '.join(KNN_ENGINES)}, got {engine!r}")
    if query.shape[1] != database.shape[1]:
        raise ValueError(f"query features have {query.shape[1]} dimensions and database features {database.shape[1]}")
    search = _search_faiss if engine == "faiss" else _search_torch
    project = METRIC_REGISTRY.get(metric)
    dtype = torch.promote_types(torch.promote_types(query.dtype, database.dtype), torch.float32)
    device = query.device if device is None else device
    blocks = knn_blocks(*query.shape, memory_gb) if blocks is None else blocks
    _, columns = _block_size(query.shape[1], memory_gb)
    origin = origin_of(database[:_ORIGIN].to(device, dtype))
    # every block is written into the same memory
    buffer = origin.new_empty(max((b.stop - b.start for b in blocks), default=0) * min(columns, len(database)))
    found: list[Neighbours] = []
    with Progress(total=sum(b.stop - b.start for b in blocks), desc="Nearest neighbours", unit="image") as bar:
        for block in blocks:
            projected, _ = project(query[block].to(device, dtype), origin)  # (B, D)
            merged = _none(projected)
            for part in _parts(len(database), columns):
                new = search(projected, database[part], lambda some: project(some.to(device, dtype), origin), k, buffer)
                merged = _merge(merged, new, part.start, k)
            _require_finite(merged, block.start)
            found.append(merged)
            bar.update(len(projected))
    found = found or [_none(query[:0].to(device, dtype), min(k, len(database)))]
    whole = (torch.cat([getattr(block, name) for block in found]) for name in ("places", "similarity", "lowest"))
    return Neighbours(*(values.to(query.device) for values in whole))


@torch.no_grad()
def pair_similarity(
    query: Tensor, database: Tensor, rows: Tensor, places: Tensor, *, metric: str = "cosine", memory_gb: float = 0.25
) -> Tensor:
    """Return the similarity of chosen pairs, up to rounding as :func:`knn` finds it.

    Args:
        query: ``(Q, D)`` float features.
        database: ``(M, D)`` float features.
        rows: ``(P,)`` int64, which query.
        places: ``(P,)`` int64, with which database image.
        metric: a name in ``METRIC_REGISTRY``.
        memory_gb: memory to use beside the features and the result, in units of 1e9 bytes, > 0.

    Returns:
        ``(P,)`` float.

    Raises:
        ValueError: if the memory is too small for one pair.
    """
    project = METRIC_REGISTRY.get(metric)
    dtype = torch.promote_types(torch.promote_types(query.dtype, database.dtype), torch.float32)
    origin = origin_of(database[:_ORIGIN].to(dtype))
    similarity = origin.new_empty(len(rows))
    width = 24 * query.shape[1]  # bytes of three copies of both sides, in float32
    pairs, _ = fit_block(memory_gb, lambda count, _: width * count, rows=_PAIRS, what="the similarity of a pair")
    for part in _parts(len(rows), pairs):
        left, _ = project(query[rows[part]].to(dtype), origin)
        right, offset = project(database[places[part]].to(dtype), origin)
        similarity[part] = (left * right).sum(dim=1) + (0 if offset is None else offset)
    return similarity


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` highest scores of each row; of equal ones those at the lower positions.

    Args:
        scores: ``(B, C)`` float, without NaN.
        k: how many, at least 1; if C is less, all are found.

    Returns:
        Scores ``(B, K)``, the highest first, and positions ``(B, K)`` int64; of equal scores the lower position first.
    """
    k = min(k, scores.shape[1])
    values, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    # Of equal scores topk may take any, in any order; where two neighbouring ones differ everywhere, it had no choice.
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero().flatten()
    values, places = values[:, :k].contiguous(), places[:, :k].contiguous()
    for rows in tied.split(_TIED_ROWS):
        some, bar = scores[rows], values[rows, -1:]  # (T, C), (T, 1)
        above, level = some > bar, some == bar
        chosen = above | (level & (level.cumsum(dim=1) <= k - above.sum(dim=1, keepdim=True)))
        found = chosen.nonzero()[:, 1].view(-1, k)  # in ascending order
        values[rows], order = some.gather(1, found).sort(dim=1, descending=True, stable=True)
        places[rows] = found.gather(1, order)
    return values, places


def _search_torch(query: Tensor, database: Tensor, project: Callable[..., Any], k: int, buffer: Tensor) -> Neighbours:
    similarity = buffer[: len(query) * len(database)].view(len(query), len(database))  # (B, C)
    for part in _parts(len(database), _CHUNK):
        others, offset = project(database[part])
        torch.mm(query, others.t(), out=similarity[:, part])
        if offset is not None:
            similarity[:, part] += offset
    values, places = best(similarity, k)
    return Neighbours(places, values, similarity.amin(dim=1))


def _search_faiss(query: Tensor, database: Tensor, project: Callable[..., Any], k: int, buffer: Tensor) -> Neighbours:
    import faiss

    others, offset = project(database)
    if offset is not None:  # q . g + offset is the inner product of (q, 1) and (g, offset)
        query = torch.cat([query, query.new_ones(len(query), 1)], dim=1)
        others = torch.cat([others, offset[:, None]], dim=1)
    left, right = (side.cpu().float().contiguous().numpy() for side in (query, others))
    inner = faiss.METRIC_INNER_PRODUCT
    values, places = (torch.from_numpy(a) for a in faiss.knn(left, right, min(k, len(right)), metric=inner))
    opposite = torch.from_numpy(faiss.knn(-left, right, 1, metric=inner)[0][:, 0])
    return Neighbours(places.to(query.device), values.to(query), -opposite.to(query))


def _merge(known: Neighbours, new: Neighbours, start: int, k: int) -> Neighbours:
    """Join the nearest so far with those of the part of the database that begins at ``start``."""
    places = torch.cat([known.places, new.places + start], dim=1)  # of equals the lower position is on the left
    values, order = best(torch.cat([known.similarity, new.similarity], dim=1), k)
    return Neighbours(places.gather(1, order), values, torch.minimum(known.lowest, new.lowest))


def _none(projected: Tensor, width: int = 0) -> Neighbours:
    similarity = projected.new_empty(len(projected), width)
    return Neighbours(similarity.long(), similarity, projected.new_full((len(projected),), torch.inf))


def _require_finite(found: Neighbours, first_query: int) -> None:
    if not found.similarity.shape[1]:
        return
    bad = ~(found.similarity.isfinite().all(dim=1) & found.lowest.isfinite())
    if bad.any():
        first = first_query + int(bad.nonzero()[0])
        raise ValueError(
            f"the similarities of image {first} to others are NaN or infinite; check the features behind them"
        )


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _block_size(dimensions: int, memory_gb: float) -> tuple[int, int]:
    """Return how many queries and how many database images make a block that fits into ``memory_gb``."""

    def bytes_of(rows: int, columns: int) -> int:  # the block, and two copies of what is projected, in float32
        return 4 * rows * columns + 8 * dimensions * (rows + min(columns, _CHUNK))

    return fit_block(
        memory_gb,
        bytes_of,
        rows=_ROWS,
        columns=_COLUMNS,
        fewest_columns=_CHUNK,
        what="the search for neighbours of an image",
    )
