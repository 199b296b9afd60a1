from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode, configurable
from .build import LOSS_REGISTRY
from .cross_rank import CandidatePool, Candidates
from .utils import cosine_dist, euclidean_dist

__all__ = ["TripletLoss", "hard_example_mining", "triplet_loss", "weighted_example_mining"]


def hard_example_mining(dist: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance of each anchor's farthest positive and of its nearest negative.

    Args:
        dist: ``(N, M)`` float, at least 0, of N anchors to M candidates.
        same: ``(N, M)`` bool, True for pairs of one identity; each image with itself included.

    Returns:
        Two tensors ``(N,)``. An anchor without negative has infinity for the second.
    """
    farthest_positive = dist.masked_fill(~same, 0).amax(dim=1)
    nearest_negative = dist.masked_fill(same, torch.inf).amin(dim=1)
    return farthest_positive, nearest_negative


def weighted_example_mining(dist: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return each anchor's mean distance to its positives, and to its negatives, the hard ones weighing more.

    The weights are the softmax of the distances over the positives, and of minus the distances over the negatives;
    they carry gradient.

    Source: Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021, arXiv:2001.04193,
    "Weighted Regularization Triplet".

    Args:
        dist: ``(N, M)`` float, of N anchors to M candidates.
        same: ``(N, M)`` bool, True for pairs of one identity; each image with itself included.

    Returns:
        Two tensors ``(N,)``. An anchor without negative has infinity for the second.
    """
    lowest = torch.finfo(dist.dtype).min  # has weight 0 beside any distance, and, unlike -inf, is no NaN alone
    positive_weights = dist.masked_fill(~same, lowest).softmax(dim=1)  # (N, M)
    negative_weights = (-dist).masked_fill(same, lowest).softmax(dim=1)  # (N, M)
    positive = (dist * positive_weights).sum(dim=1)
    negative = (dist * negative_weights).sum(dim=1)
    return positive, negative.masked_fill(same.all(dim=1), torch.inf)


def triplet_loss(
    embedding: Tensor,
    targets: Tensor,
    margin: float,
    norm_feat: bool,
    hard_mining: bool,
    *,
    candidates: Candidates | None = None,
) -> Tensor:
    """Ask that each image be nearer to its own identity than to any other, by a margin.

    With ``p`` and ``n`` the anchor's distances to positives and negatives (:func:`hard_example_mining` or
    :func:`weighted_example_mining`), the mean over the anchors of ``relu(margin + p - n)``, or, for margin 0, of the
    soft-margin form ``log(1 + exp(p - n))``. An image is a positive of itself, so that an identity with one image has
    ``p = 0`` (1e-6, see :func:`~fastreid.layers.distance.euclidean_dist`); an anchor without negatives adds 0, so that
    a batch of one identity has loss 0. Gradients are finite in each case.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737.

    Args:
        embedding: ``(N, D)`` float, N > 0; the anchors.
        targets: ``(N,)`` int64 identity labels.
        margin: in units of the distance, >= 0; 0 selects the soft-margin form.
        norm_feat: the distance is ``2 - 2 cos``; otherwise Euclidean, not squared.
        hard_mining: farthest positive and nearest negative; otherwise the weighted means.
        candidates: M images to compare the anchors with, those among them; ``None``: the anchors.

    Returns:
        Scalar, float32 or wider.

    Raises:
        ValueError: if ``margin`` is negative, or the shapes do not fit.
    """
    if margin < 0:
        raise ValueError(f"MODEL.LOSSES.TRI.MARGIN must be >= 0, got {margin}")
    if embedding.ndim != 2 or targets.shape != embedding.shape[:1] or not len(targets):
        raise ValueError(
            "triplet_loss needs embeddings (N, D) and targets (N,), N > 0, "
            f"got {tuple(embedding.shape)} and {tuple(targets.shape)}"
        )
    candidates = Candidates(embedding, targets) if candidates is None else candidates
    dist = (cosine_dist if norm_feat else euclidean_dist)(embedding, candidates.features)  # (N, M)
    same, _ = candidates.pairs(targets)  # (N, M)
    positive, negative = (hard_example_mining if hard_mining else weighted_example_mining)(dist, same)  # (N,) each
    if margin == 0:
        return F.softplus(positive - negative).mean()
    return F.relu(margin + positive - negative).mean()


@LOSS_REGISTRY.register()
class TripletLoss(nn.Module):
    """:func:`triplet_loss` on ``features``, as ``loss_triplet``.

    Args:
        margin: >= 0; 0 selects the soft-margin form.
        norm_feat: compare directions in place of points.
        hard_mining: hardest examples in place of weighted means.
        scale: weight in the total loss.
        cross_rank: compare with the images of all ranks, not only with those of this one.
    """

    arguments_key = "tri"
    reads = "features"

    @configurable
    def __init__(
        self,
        *,
        margin: float = 0.3,
        norm_feat: bool = False,
        hard_mining: bool = False,
        scale: float = 1.0,
        cross_rank: bool = False,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.norm_feat = norm_feat
        self.hard_mining = hard_mining
        self.scale = scale
        self.candidates = CandidatePool(cross_rank=cross_rank)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.LOSSES.TRI`` and ``MODEL.LOSSES.CROSS_RANK``."""
        node = cfg.MODEL.LOSSES.TRI
        return {
            "margin": node.MARGIN,
            "norm_feat": node.NORM_FEAT,
            "hard_mining": node.HARD_MINING,
            "scale": node.SCALE,
            "cross_rank": cfg.MODEL.LOSSES.CROSS_RANK,
        }

    def forward(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss_triplet": scalar}`` for ``outputs["features"]`` ``(N, D)`` and ``targets`` ``(N,)``."""
        features = outputs["features"]
        candidates = self.candidates(features, targets)
        loss = triplet_loss(features, targets, self.margin, self.norm_feat, self.hard_mining, candidates=candidates)
        return {"loss_triplet": loss * self.scale}

    def extra_repr(self) -> str:
        """Describe the loss where the model is printed."""
        form = f"margin={self.margin}, norm_feat={self.norm_feat}, hard_mining={self.hard_mining}, scale={self.scale}"
        return f"{form}, cross_rank={self.candidates.cross_rank}"
