from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...config import CfgNode, configurable
from .build import LOSS_REGISTRY
from .cross_rank import CandidatePool, Candidates
from .pairwise import unified_pair_loss

__all__ = ["Cosface", "pairwise_cosface"]


def pairwise_cosface(
    embedding: Tensor, targets: Tensor, margin: float, gamma: float, *, candidates: Candidates | None = None
) -> Tensor:
    """Ask that the cosine of each positive exceed that of each negative by a margin.

    :func:`~fastreid.modeling.losses.pairwise.unified_pair_loss` with ``l_p = -gamma s`` and ``l_n = gamma (s + m)`` for
    the cosine ``s`` of a pair.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, arXiv:1801.09414;
    over pairs in place of classes: Sun et al., arXiv:2002.10857.

    Args:
        embedding: ``(N, D)`` float, N > 0; the anchors.
        targets: ``(N,)`` int64 identity labels.
        margin: m, in cosine similarity.
        gamma: scale of the logits, > 0.
        candidates: M images to compare the anchors with, those among them; ``None``: the anchors.

    Returns:
        Scalar, float32 or wider.

    Raises:
        ValueError: if ``gamma`` is not positive, or the shapes do not fit.
    """
    if gamma <= 0:
        raise ValueError(f"MODEL.LOSSES.COSFACE.GAMMA must be positive, got {gamma}")
    return unified_pair_loss(
        embedding, targets, lambda cosines: (-gamma * cosines, gamma * (cosines + margin)), candidates
    )


@LOSS_REGISTRY.register()
class Cosface(nn.Module):
    """:func:`pairwise_cosface` on ``features``, as ``loss_cosface``.

    Args:
        margin: in cosine similarity.
        gamma: scale of the logits, > 0.
        scale: weight in the total loss.
        cross_rank: compare with the images of all ranks, not only with those of this one.
    """

    arguments_key = "cosface"
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
        """Read ``MODEL.LOSSES.COSFACE`` and ``MODEL.LOSSES.CROSS_RANK``."""
        node = cfg.MODEL.LOSSES.COSFACE
        cross_rank = cfg.MODEL.LOSSES.CROSS_RANK
        return {"margin": node.MARGIN, "gamma": node.GAMMA, "scale": node.SCALE, "cross_rank": cross_rank}

    def forward(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss_cosface": scalar}`` for ``outputs["features"]`` ``(N, D)`` and ``targets`` ``(N,)``."""
        features = outputs["features"]
        candidates = self.candidates(features, targets)
        loss = pairwise_cosface(features, targets, self.margin, self.gamma, candidates=candidates)
        return {"loss_cosface": loss * self.scale}

    def extra_repr(self) -> str:
        """Describe the loss where the model is printed."""
        form = f"margin={self.margin}, gamma={self.gamma}, scale={self.scale}"
        return f"{form}, cross_rank={self.candidates.cross_rank}"
