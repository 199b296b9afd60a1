"""What a threshold is for: scores that are comparable between queries, by the name of their ``TEST.METRIC``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..utils.registry import Registry
from .similarity import METRIC_REGISTRY, origin_of

__all__ = ["SCORE_REGISTRY", "cosine", "euclidean", "scores_of_pairs"]

SCORE_REGISTRY = Registry("TEST.METRIC with TEST.ROC.ENABLED or TEST.PROTOCOL cuhk03")
"""Scores, each with the name of a metric in ``METRIC_REGISTRY``.

A score is a function ``(similarity (N,), squared_length) -> scores (N,)`` of numpy arrays: the similarities of one
query, and the squared length of what the metric made of its features. It rises with the similarity, keeps minus
infinity, and may overwrite its argument. A metric without one ranks, but has no ROC.
"""


@SCORE_REGISTRY.register()
def cosine(similarity: np.ndarray, squared_length: float) -> np.ndarray:
    """Return the cosine itself, in [-1, 1]."""
    return similarity


@SCORE_REGISTRY.register()
def euclidean(similarity: np.ndarray, squared_length: float) -> np.ndarray:
    """Return minus the Euclidean distance, at most 0; distances below a thousandth of the length are rounding.

    Args:
        similarity: ``(N,)`` float, ``(|q|^2 - d^2) / 2``; overwritten.
        squared_length: ``|q|^2``.
    """
    similarity *= -2
    similarity += squared_length
    np.maximum(similarity, 0, out=similarity)
    np.sqrt(similarity, out=similarity)
    return np.negative(similarity, out=similarity)


def scores_of_pairs(query: Tensor, gallery: Tensor, *, metric: str = "cosine") -> np.ndarray:
    """Return the score of each pair, as a threshold of an evaluation judges it.

    All pairs are held at once: for a few queries. Evaluation goes through them block by block.

    Args:
        query: ``(Q, D)`` float embeddings, not normalised.
        gallery: ``(G, D)`` likewise.
        metric: a name in :data:`SCORE_REGISTRY`.

    Returns:
        ``(Q, G)`` float32, or float64 of float64 embeddings.

    Raises:
        KeyError: if the metric is unknown, or has no scores.
        ValueError: if the shapes do not fit.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query and gallery must be (Q, D) and (G, D), got {tuple(query.shape)} and {tuple(gallery.shape)}"
        )
    score, project = SCORE_REGISTRY.get(metric), METRIC_REGISTRY.get(metric)
    dtype = torch.promote_types(torch.promote_types(query.dtype, gallery.dtype), torch.float32)
    query, gallery = query.detach().to("cpu", dtype), gallery.detach().to("cpu", dtype)
    origin = origin_of(gallery)
    projected, _ = project(query, origin)  # (Q, E)
    others, offset = project(gallery, origin)
    similarity = projected @ others.t() if offset is None else torch.addmm(offset, projected, others.t())  # (Q, G)
    squared = projected.square().sum(dim=1).numpy()
    rows = [score(row, length) for row, length in zip(similarity.numpy(), squared, strict=True)]
    return np.stack(rows) if rows else similarity.numpy()
