from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ...layers.precision import at_least_float32
from .build import LOSS_REGISTRY

__all__ = ["FocalLoss", "focal_loss"]


def focal_loss(input: Tensor, target: Tensor, alpha: float, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    """Cross-entropy in which images that are right already hardly count: ``-alpha (1 - p)^gamma log p``.

    ``p`` is the probability that the softmax gives to the image's class; its logarithm is computed from the logits, so
    that a hopeless image has a large loss and not an infinite one.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002.

    Args:
        input: ``(N, C)`` float logits.
        target: ``(N,)`` int64 classes; an image with -1, which has no class here, loses nothing and does not count.
        alpha: factor, >= 0.
        gamma: how much the easy ones are weighed down, >= 0; with 0 it is ``alpha`` times the cross-entropy.
        reduction: ``mean``, ``sum``, or ``none``.

    Returns:
        Scalar, or ``(N,)`` for ``none``; float32 or wider.

    Raises:
        ValueError: if ``alpha`` or ``gamma`` is negative, or ``reduction`` another one.
    """
    if alpha < 0 or gamma < 0:
        raise ValueError(f"MODEL.LOSSES.FL.ALPHA and GAMMA must be >= 0, got {alpha} and {gamma}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be mean, sum or none, got {reduction!r}")
    log_probs = F.log_softmax(at_least_float32(input), dim=1)  # (N, C)
    own = log_probs.gather(1, target.clamp(min=0)[:, None]).squeeze(1)  # (N,)
    wrong = -torch.expm1(own)  # (N,), 1 - p without cancellation
    wrong = wrong.clamp(min=torch.finfo(wrong.dtype).tiny)  # the gradient of a power below 1 is infinite at 0
    losses = torch.where(target >= 0, -alpha * wrong.pow(gamma) * own, 0.0)  # (N,)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / (target >= 0).sum().clamp(min=1)


@LOSS_REGISTRY.register()
class FocalLoss(nn.Module):
    """:func:`focal_loss` on ``cls_outputs``, as ``loss_focal``.

    Args:
        alpha: factor, >= 0.
        gamma: how much easy images are weighed down, >= 0.
        scale: weight in the total loss.
    """

    arguments_key = "fl"

    @configurable
    def __init__(self, *, alpha: float = 0.25, gamma: float = 2.0, scale: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.scale = scale

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.LOSSES.FL``."""
        node = cfg.MODEL.LOSSES.FL
        return {"alpha": node.ALPHA, "gamma": node.GAMMA, "scale": node.SCALE}

    def forward(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss_focal": scalar}`` for ``outputs["cls_outputs"]`` ``(N, C)`` and ``targets`` ``(N,)``."""
        return {"loss_focal": focal_loss(outputs["cls_outputs"], targets, self.alpha, self.gamma) * self.scale}

    def extra_repr(self) -> str:
        """Describe the loss where the model is printed."""
        return f"alpha={self.alpha}, gamma={self.gamma}, scale={self.scale}"
