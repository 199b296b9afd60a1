"""Rank the true matches of many queries, and find their neighbours, on all ranks together."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from ..utils import comm
from .features import FeatureSet
from .knn import Neighbours, knn, knn_blocks
from .pair_scores import BINS, PairTable
from .rank_blocks import Adjust, ScoreConsumer, query_blocks, rank_matches

__all__ = ["gather_pairs", "knn_together", "rank_matches_together"]


def rank_matches_together(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    metric: str = "cosine",
    memory_gb: float = 1.0,
    adjust: Adjust | None = None,
    consumer: ScoreConsumer | None = None,
) -> list[np.ndarray]:
    """Rank the true matches of every query; each rank does its share of them against the whole gallery.

    The blocks of queries are those of a single process, dealt out in turn, so that every number is the same, bit for
    bit, however many ranks there are. On a single process it is :func:`~.rank_blocks.rank_matches`.

    Args:
        query: Q images; the same on every rank.
        gallery: G images; the same on every rank.
        metric: a name in ``METRIC_REGISTRY``: ``cosine`` or ``euclidean``.
        memory_gb: memory to use beside the features on each rank, in units of 1e9 bytes, > 0.
        adjust: changes the similarities of each query before they are ranked; the same on every rank.
        consumer: gets the scores of this rank's share of the queries.

    Returns:
        On every rank, for each query ``(M,)`` int64 ranks in ascending order, 1-based; empty if it has no match.

    Raises:
        ValueError: on the rank that found features which do not fit, or a similarity that is not finite.
        RuntimeError: on the others.
    """
    world = comm.get_world_size()
    if world == 1:
        return rank_matches(query, gallery, metric=metric, memory_gb=memory_gb, adjust=adjust, consumer=consumer)
    blocks, own, failure = [], [], None
    try:
        blocks = query_blocks(query, gallery, memory_gb, whole_rows=adjust is not None)
        mine = blocks[comm.get_rank() :: world]
        own = rank_matches(
            query, gallery, metric=metric, memory_gb=memory_gb, blocks=mine, adjust=adjust, consumer=consumer
        )
    except Exception as error:
        failure = error
    comm.raise_on_all(failure)
    return _gather(own, blocks)


def gather_pairs(own: PairTable, keep: int) -> PairTable:
    """Put together what every rank kept of the pairs of its queries; every rank must call it, and gets the same.

    Args:
        own: of this rank; queries of other ranks have no pairs in it.
        keep: how many of the highest impostor scores stay.

    Returns:
        What one process would have kept of all pairs. (Of impostor scores that equal the lowest kept one, it may have
        kept those of other queries.)
    """
    if comm.get_world_size() == 1:
        return own

    def all_of(array: np.ndarray) -> np.ndarray:
        return comm.all_gather_tensor(torch.from_numpy(np.ascontiguousarray(array))).numpy()

    genuine, genuine_query, top, top_query = map(all_of, (own.genuine, own.genuine_query, own.top, own.top_query))
    filled = np.flatnonzero(own.counts)
    counts = np.zeros(BINS, dtype=np.int64)
    np.add.at(counts, all_of(filled), all_of(own.counts[filled]))
    order = np.argsort(genuine_query, kind="stable")
    highest = np.lexsort((top_query, -top))[:keep]
    return PairTable(
        own.scale,
        genuine[order],
        genuine_query[order],
        top[highest],
        top_query[highest],
        counts,
        all_of(own.impostors[None]).sum(axis=0),
        all_of(own.best_match[None]).max(axis=0),
        all_of(own.best_other[None]).max(axis=0),
        all_of(own.is_right[None].astype(np.uint8)).any(axis=0),
    )


def _gather(own: list[np.ndarray], blocks: list[slice]) -> list[np.ndarray]:
    """Exchange the ranks of each rank's queries, as tensors, and put them into the order of the queries."""
    counts = comm.all_gather_tensor(torch.tensor([len(ranks) for ranks in own], dtype=torch.int64))
    values = comm.all_gather_tensor(torch.from_numpy(np.concatenate([*own, np.empty(0, dtype=np.int64)])))
    found = iter(np.split(values.numpy(), np.cumsum(counts.numpy())[:-1]) if len(counts) else [])
    sizes = [block.stop - block.start for block in blocks]
    world = comm.get_world_size()
    by_block: list[list[np.ndarray]] = [[] for _ in blocks]
    for rank in range(world):
        for number in range(rank, len(blocks), world):
            by_block[number] = list(itertools.islice(found, sizes[number]))
    return [ranks for block in by_block for ranks in block]


def knn_together(
    query: Tensor,
    database: Tensor,
    k: int,
    *,
    metric: str = "cosine",
    memory_gb: float = 0.25,
    device: torch.device | None = None,
) -> Neighbours:
    """Find the nearest database images of every query; each rank does its share of the queries.

    Arguments are those of :func:`~.knn.knn`, the same on every rank; so is the result, bit for bit that of a single
    process.

    Raises:
        ValueError: on the rank that found something wrong, see :func:`~.knn.knn`.
        RuntimeError: on the others.
    """
    world = comm.get_world_size()
    if world == 1:
        return knn(query, database, k, metric=metric, memory_gb=memory_gb, device=device)
    blocks, own, failure = [], None, None
    try:
        blocks = knn_blocks(*query.shape, memory_gb)
        mine = blocks[comm.get_rank() :: world]
        own = knn(query, database, k, metric=metric, memory_gb=memory_gb, blocks=mine, device=device)
    except Exception as error:
        failure = error
    comm.raise_on_all(failure)
    dealt = [block for rank in range(world) for block in blocks[rank::world]]
    order = torch.cat([torch.arange(block.start, block.stop) for block in dealt] or [torch.arange(0)])  # as gathered
    back = order.argsort().to(query.device)
    gathered = (comm.all_gather_tensor(values) for values in (own.places, own.similarity, own.lowest))
    return Neighbours(*(values[back] for values in gathered))
