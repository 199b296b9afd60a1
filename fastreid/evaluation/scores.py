"""What a threshold is for: scores that are comparable between queries, by the name of their ``TEST.METRIC``."""

from __future__ import annotations

import numpy as np

from ..utils.registry import Registry

__all__ = ["SCORE_REGISTRY", "cosine", "euclidean"]

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
