"""Rank the true matches of many queries in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils.progress import Progress
from .features import FeatureSet
from .rank import IdentityIndex, Rounding, rank_rows
from .similarity import METRIC_REGISTRY

__all__ = ["rank_matches"]

# With blocks of this size the product reads from the processor's cache; larger ones are no faster.
_CHUNK = 512  # gallery images that are made ready for the metric, and multiplied, at a time
_ROWS = 1024  # queries at a time, at most


@torch.no_grad()
def rank_matches(
    query: FeatureSet, gallery: FeatureSet, *, metric: str = "cosine", memory_gb: float = 0.25
) -> list[np.ndarray]:
    """Rank the true matches of every query without holding a query x gallery matrix.

    Similarities are computed for as many queries at a time as fit into ``memory_gb``, in one buffer that is used again
    and again. Gallery images with the identity and the camera of the query are left out; ties count against the match.

    Args:
        query: Q images; the features need not be normalised, and are not changed.
        gallery: G images, any number, with features of the same length.
        metric: a name in ``METRIC_REGISTRY``: ``cosine`` or ``euclidean``.
        memory_gb: memory to use beside the features, in units of 1e9 bytes, > 0; one query at a time is the least.

    Returns:
        For each query ``(M,)`` int64 ranks in ascending order, 1-based; empty if the query has no match.

    Raises:
        ValueError: if the features differ in length, or a similarity is NaN or infinite (the message names the query).
        KeyError: if there is no such metric.
    """
    if memory_gb <= 0:
        raise ValueError(f"memory_gb must be > 0, got {memory_gb}")
    if query.features.shape[1] != gallery.features.shape[1]:
        raise ValueError(
            f"query features have {query.features.shape[1]} dimensions and gallery features "
            f"{gallery.features.shape[1]}; both must come from one model"
        )
    project = METRIC_REGISTRY.get(metric)
    dtype = torch.promote_types(torch.promote_types(query.features.dtype, gallery.features.dtype), torch.float32)
    origin = gallery.features[:_CHUNK].to(dtype).mean(dim=0)  # (D,), NaN for an empty gallery, then without use
    rows = _rows_at_a_time(len(query), *gallery.features.shape, int(memory_gb * 1e9))
    block = origin.new_empty(rows, len(gallery))  # (B, G)
    index = IdentityIndex(gallery.pids.cpu().numpy(), gallery.camids.cpu().numpy())
    pids, camids = query.pids.cpu().numpy(), query.camids.cpu().numpy()
    ranks: list[np.ndarray] = []
    with Progress(total=len(query), desc="Ranking", unit="query") as bar:
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            projected, _ = project(query.features[part].to(dtype), origin)  # (B, D)
            similarity = block[: len(projected)]
            terms = (projected.norm(dim=1), *_fill(similarity, projected, gallery.features, project, origin))
            rounding = Rounding(*(term.cpu().numpy() for term in terms))
            ranks += _rank_in_threads(similarity.cpu().numpy(), pids[part], camids[part], index, start, rounding)
            bar.update(len(projected))
    return ranks


def _rank_in_threads(
    similarity: np.ndarray,
    pids: np.ndarray,
    camids: np.ndarray,
    index: IdentityIndex,
    first_query: int,
    rounding: Rounding,
) -> list[np.ndarray]:
    """Call :func:`rank_rows` on equal shares of the rows ``(B, G)``, each in a thread; comparing releases the GIL."""

    def rank(part: slice) -> list[np.ndarray]:
        lengths = rounding.query_lengths[part]
        return rank_rows(
            similarity[part],
            pids[part],
            camids[part],
            index,
            first_query=first_query + part.start,
            rounding=replace(rounding, query_lengths=lengths),
        )

    share = -(-len(similarity) // torch.get_num_threads())
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        shares = pool.map(rank, [slice(i, i + share) for i in range(0, len(similarity), share)])
        return [ranks for some in shares for ranks in some]


def _fill(
    block: Tensor, queries: Tensor, gallery: Tensor, project: Callable[..., Any], origin: Tensor
) -> tuple[Tensor, Tensor]:
    """Write the similarities of projected queries ``(B, D)`` to the gallery ``(G, D)`` into ``block`` ``(B, G)``.

    Returns:
        The lengths of the projected gallery features and the sizes of their offsets, ``(G,)`` each.
    """
    lengths, offsets = block.new_zeros(len(gallery)), block.new_zeros(len(gallery))
    for start in range(0, len(gallery), _CHUNK):
        part = slice(start, start + _CHUNK)
        chunk, offset = project(gallery[part].to(block.dtype), origin)  # (C, D), (C,)
        out = block[:, part]  # (B, C)
        torch.mm(queries, chunk.t(), out=out)
        lengths[part] = chunk.norm(dim=1)
        if offset is not None:
            out += offset
            offsets[part] = offset.abs()
    return lengths, offsets


def _rows_at_a_time(queries: int, gallery: int, dimensions: int, budget: int) -> int:
    """Return how many queries fit into ``budget`` bytes, with room for three float32 copies of what is projected."""
    chunk = 12 * dimensions * min(gallery, _CHUNK)
    return max(1, min(queries, _ROWS, (budget - chunk) // (4 * gallery + 12 * dimensions + 1)))
