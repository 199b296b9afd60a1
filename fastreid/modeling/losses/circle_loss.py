from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode, configurable
from .build import LOSS_REGISTRY
from .cosface_loss import pairwise_cosface
from .cross_rank import CandidatePool, Candidates
from .pairwise import unified_pair_loss

__all__ = ["CircleLoss", "pairwise_circleloss", "pairwise_cosface"]


def pairwise_circleloss(
    embedding: Tensor, targets: Tensor, margin: float, gamma: float, *, candidates: Candidates | None = None
) -> Tensor:
    """Pull positives and push negatives, each the harder the farther its cosine is from where it should be.

    :func:`~fastreid.modeling.losses.pairwise.unified_pair_loss` with, for the cosine ``s`` of a pair,
    ``l_p = -gamma [1 + m - s]+ (s - (1 - m))`` and ``l_n = gamma [s + m]+ (s - m)``; the weights in brackets carry no
    gradient.

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020,
    arXiv:2002.10857.

    Args:
        embedding: ``(N, D)`` float, N > 0; the anchors.
        targets: ``(N,)`` int64 identity labels.
        margin: m, in cosine similarity; positives shall be above ``1 - m``, negatives below ``m``.
        gamma: scale of the logits, > 0.
        candidates: M images to compare the anchors with, those among them; ``None``: the anchors.

    Returns:
        Scalar, float32 or wider.

    Raises:
        ValueError: if ``gamma`` is not positive, or the shapes do not fit.
    """
    if gamma <= 0:
        raise ValueError(f"MODEL.LOSSES.CIRCLE.GAMMA must be positive, got {gamma}")

    def logits(cosines: Tensor) -> tuple[Tensor, Tensor]:
        pull = F.relu(1 + margin - cosines.detach())
        push = F.relu(cosines.detach() + margin)
        return -gamma * pull * (cosines - (1 - margin)), gamma * push * (cosines - margin)

    return unified_pair_loss(embedding, targets, logits, candidates)


@LOSS_REGISTRY.register()
class CircleLoss(nn.Module):
    """:func:`pairwise_circleloss` on ``features``, as ``loss_circle``.

    Args:
        margin: in cosine similarity.
        gamma: scale of the logits, > 0.
        scale: weight in the total loss.
        cross_rank: compare with the images of all ranks, not only with those of this one.
    """

    arguments_key = "circle"
    reads = "features"

    @configurable
    def __init__(
        self, *, margin: float = 0.25, gamma: float = 128, scale: float = 1.0, cross_rank: bool = False
    ) -> None:
        super().__init__()
        self.margin = margin
        self.gamma = gamma
        self.scale = scale
        self.candidates = CandidatePool(cross_rank=cross_rank)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.LOSSES.CIRCLE`` and ``MODEL.LOSSES.CROSS_RANK``."""
        node = cfg.MODEL.LOSSES.CIRCLE
        cross_rank = cfg.MODEL.LOSSES.CROSS_RANK
        return {"margin": node.MARGIN, "gamma": node.GAMMA, "scale": node.SCALE, "cross_rank": cross_rank}

    def forward(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss_circle": scalar}`` for ``outputs["features"]`` ``(N, D)`` and ``targets`` ``(N,)``."""
        features = outputs["features"]
        candidates = self.candidates(features, targets)
        loss = pairwise_circleloss(features, targets, self.margin, self.gamma, candidates=candidates)
        return {"loss_circle": loss * self.scale}

    def extra_repr(self) -> str:
        """Describe the loss where the model is printed."""
        form = f"margin={self.margin}, gamma={self.gamma}, scale={self.scale}"
        return f"{form}, cross_rank={self.candidates.cross_rank}"
