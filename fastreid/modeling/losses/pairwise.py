"""What the losses over pairs of one batch share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...layers.distance import cosine_similarity
from .cross_rank import Candidates

__all__ = ["pair_loss", "unified_pair_loss"]


def pair_loss(positive: Tensor, negative: Tensor, is_positive: Tensor, is_negative: Tensor) -> Tensor:
    """Return the mean over the rows of ``log(1 + sum_p exp(l_p) sum_n exp(l_n))``.

    A row without positives, or without negatives, adds 0, with gradient 0.

    Args:
        positive: ``(N, M)`` float, ``l_p``.
        negative: ``(N, M)`` float, ``l_n``.
        is_positive: ``(N, M)`` bool, which p there are.
        is_negative: ``(N, M)`` bool, which n there are.

    Returns:
        Scalar with the dtype of the logits.
    """
    lowest = torch.finfo(positive.dtype).min  # unlike -inf, its log-sum-exp has a gradient, 0, where nothing else is
    positive = positive.masked_fill(~is_positive, lowest).logsumexp(dim=1)  # (N,)
    negative = negative.masked_fill(~is_negative, lowest).logsumexp(dim=1)  # (N,)
    return F.softplus(positive + negative).mean()


def unified_pair_loss(
    embedding: Tensor,
    targets: Tensor,
    logits: Callable[[Tensor], tuple[Tensor, Tensor]],
    candidates: Candidates | None = None,
) -> Tensor:
    """Ask of each image that all its positives be more similar than all its negatives.

    The mean over the anchors of ``log(1 + sum_p exp(l_p) sum_n exp(l_n))``, p over the other images of the anchor's
    identity and n over those of other identities. An anchor without positives, or without negatives, adds 0, with
    gradient 0.

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020,
    arXiv:2002.10857, equation 1.

    Args:
        embedding: ``(N, D)`` float, N > 0; the anchors.
        targets: ``(N,)`` int64 identity labels.
        logits: maps the cosines ``(N, M)`` to ``l_p`` and ``l_n``, ``(N, M)`` each.
        candidates: M images to compare the anchors with, those among them; ``None``: the anchors.

    Returns:
        Scalar, float32 or wider.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if embedding.ndim != 2 or targets.shape != embedding.shape[:1] or not len(targets):
        raise ValueError(
            "a pairwise loss needs embeddings (N, D) and targets (N,), N > 0, "
            f"got {tuple(embedding.shape)} and {tuple(targets.shape)}"
        )
    candidates = Candidates(embedding, targets) if candidates is None else candidates
    positive, negative = logits(cosine_similarity(embedding, candidates.features))  # (N, M) each
    same, itself = candidates.pairs(targets)  # (N, M) each
    return pair_loss(positive, negative, same & ~itself, ~same)
