from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ...layers.precision import at_least_float32
from .build import LOSS_REGISTRY

__all__ = ["CrossEntropyLoss", "cross_entropy_loss"]


def cross_entropy_loss(pred_class_outputs: Tensor, gt_classes: Tensor, eps: float, alpha: float = 0.2) -> Tensor:
    """Cross-entropy with label smoothing, averaged over the images that still lose something.

    The target distribution has ``1 - eps`` on the image's class and ``eps / (C - 1)`` on each other one. (torch's
    ``label_smoothing`` spreads its share over all C classes: ``eps * C / (C - 1)`` there is ``eps`` here.)

    Source: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, arXiv:1512.00567.

    Args:
        pred_class_outputs: ``(N, C)`` float logits.
        gt_classes: ``(N,)`` int64 classes; an image with -1, which has no class here, loses nothing.
        eps: in [0, 1]; or -1, so that each image has its own: ``alpha`` times the probability that the model gives to
            its class (which carries no gradient).
        alpha: in [0, 1]; read if ``eps`` is -1.

    Returns:
        Scalar, float32 or wider: the sum of the images' losses over the number of those that are not 0, or 0.

    Raises:
        ValueError: if ``eps`` is another number.
    """
    if eps != -1 and not 0 <= eps <= 1:
        raise ValueError(f"MODEL.LOSSES.CE.EPSILON must be in [0, 1], or -1 for the adaptive one, got {eps}")
    log_probs = F.log_softmax(at_least_float32(pred_class_outputs), dim=1)  # (N, C)
    own = log_probs.gather(1, gt_classes.clamp(min=0)[:, None]).squeeze(1)  # (N,)
    if eps == 0:
        losses = -own  # by itself, since 0 times the logarithm of an impossible class would be NaN
    else:
        smoothing = alpha * own.detach().exp() if eps == -1 else eps
        others = (log_probs.sum(dim=1) - own) / max(log_probs.shape[1] - 1, 1)  # (N,), their mean
        losses = -(1 - smoothing) * own - smoothing * others  # (N,)
    losses = torch.where(gt_classes >= 0, losses, 0.0)
    return losses.sum() / (losses != 0).sum().clamp(min=1)


@LOSS_REGISTRY.register()
class CrossEntropyLoss(nn.Module):
    """:func:`cross_entropy_loss` on ``cls_outputs``, as ``loss_cls``.

    Args:
        eps: label smoothing, see the function.
        alpha: of the adaptive smoothing.
        scale: weight in the total loss.
    """

    arguments_key = "ce"

    @configurable
    def __init__(self, *, eps: float = 0.0, alpha: float = 0.2, scale: float = 1.0) -> None:
        super().__init__()
        self.eps = eps
        self.alpha = alpha
        self.scale = scale

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.LOSSES.CE``."""
        node = cfg.MODEL.LOSSES.CE
        return {"eps": node.EPSILON, "alpha": node.ALPHA, "scale": node.SCALE}

    def forward(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        """Return ``{"loss_cls": scalar}`` for ``outputs["cls_outputs"]`` ``(N, C)`` and ``targets`` ``(N,)``."""
        return {"loss_cls": cross_entropy_loss(outputs["cls_outputs"], targets, self.eps, self.alpha) * self.scale}

    def extra_repr(self) -> str:
        """Describe the loss where the model is printed."""
        return f"eps={self.eps}, alpha={self.alpha}, scale={self.scale}"
