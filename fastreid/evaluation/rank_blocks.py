"""Rank the true matches of many queries in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..layers.precision import at_least_float32
from ..utils.progress import Progress
from .features import FeatureSet
from .rank import IdentityIndex, Rounding, rank_rows
from .similarity import METRIC_REGISTRY

__all__ = ["rank_matches"]

_CHUNK = 2048  # gallery images that are made ready for the metric at a time


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
    origin = at_least_float32(gallery.features[:_CHUNK]).mean(dim=0)  # (D,), NaN for an empty gallery, then without use
    rows = _rows_at_a_time(len(query), *gallery.features.shape, int(memory_gb * 1e9))
    block = origin.new_empty(rows, len(gallery))  # (B, G)
    index = IdentityIndex(gallery.pids.cpu().numpy(), gallery.camids.cpu().numpy())
    ranks: list[np.ndarray] = []
    with Progress(total=len(query), desc="Ranking", unit="query") as bar:
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            projected, _ = project(at_least_float32(query.features[part]), origin)  # (B, D)
            similarity = block[: len(projected)]
            lengths, offsets = _fill(similarity, projected, gallery.features, project, origin)
            pids, camids = query.pids[part].cpu().numpy(), query.camids[part].cpu().numpy()
            rounding = Rounding(projected.norm(dim=1).cpu().numpy(), lengths.cpu().numpy(), offsets.cpu().numpy())
            ranks += rank_rows(similarity.cpu().numpy(), pids, camids, index, first_query=start, rounding=rounding)
            bar.update(len(projected))
    return ranks


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
        chunk, offset = project(at_least_float32(gallery[part]), origin)  # (C, D), (C,)
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
    return max(1, min(queries, (budget - chunk) // (4 * gallery + 12 * dimensions + 1)))
