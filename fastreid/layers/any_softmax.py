"""Margins on the logits of a classifier: what makes a softmax loss push identities apart.

A head finds them by name (``MODEL.HEADS.CLS_LAYER``), computes logits without scale by
``layer.logits(features, weight)``, and lets ``layer(logits, targets)`` multiply them by the scale and take the margin
off the target's logit.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.registry import Registry
from .distance import cosine_similarity
from .precision import at_least_float32

__all__ = ["CLS_LAYER_REGISTRY", "AnySoftmax", "ArcSoftmax", "CircleSoftmax", "CosSoftmax", "Linear"]

CLS_LAYER_REGISTRY = Registry("CLS_LAYER")
"""Subclasses of :class:`AnySoftmax`, built as ``Layer(num_classes, scale, margin)``."""


class AnySoftmax(nn.Module):
    """Base of the margins on cosines. It has no parameters: the weight of the classes belongs to the head.

    Args:
        num_classes: number of classes C.
        scale: factor of the logits, > 0; kept as ``s``.
        margin: kept as ``m``; what it is a margin of is the subclass's matter.
    """

    def __init__(self, num_classes: int, scale: float, margin: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"MODEL.HEADS.SCALE must be positive, got {scale}")
        self.num_classes = num_classes
        self.s = scale
        self.m = margin

    def logits(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return the cosine of every feature with every class.

        Args:
            features: ``(N, D)`` float.
            weight: ``(C, D)`` float.

        Returns:
            ``(N, C)``, float32 or wider also under autocast: the scale would make rounding of half precision visible.
        """
        return cosine_similarity(features, weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the logits with scale and margin.

        Args:
            logits: ``(N, C)`` float without scale; not changed.
            targets: ``(N,)`` int64 classes; -1 means that the class is not among these C: no logit gets the margin.

        Returns:
            ``(N, C)``, float32 or wider.
        """
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"num_classes={self.num_classes}, scale={self.s}, margin={self.m}"


def _gather_target(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the logit of each image's own class, ``(N, 1)``, or of class 0 where the target is -1."""
    return logits.gather(1, targets.clamp(min=0)[:, None])


def _put_target(logits: Tensor, targets: Tensor, values: Tensor) -> Tensor:
    """Return a copy of ``(N, C)`` with ``values`` ``(N, 1)`` at the targets, where these are not -1.

    It asks the device for nothing, so that the host need not wait.
    """
    values = torch.where(targets[:, None] >= 0, values, _gather_target(logits, targets))
    return logits.scatter(1, targets.clamp(min=0)[:, None], values)


@CLS_LAYER_REGISTRY.register()
class Linear(AnySoftmax):
    """Plain softmax: products of features and weights, not normalised, times the scale. The margin is not used."""

    def logits(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return ``features @ weight.T``, ``(N, C)``."""
        return F.linear(features, weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return ``logits * s``, ``(N, C)``, whatever the targets."""
        return logits * self.s


@CLS_LAYER_REGISTRY.register()
class CosSoftmax(AnySoftmax):
    """Take ``m`` off the cosine of the target: ``s (cos - m)``; the others are ``s cos``.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, arXiv:1801.09414.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the scaled logits ``(N, C)``; arguments as in :class:`AnySoftmax`."""
        logits = at_least_float32(logits)
        return self.s * _put_target(logits, targets, _gather_target(logits, targets) - self.m)


@CLS_LAYER_REGISTRY.register()
class ArcSoftmax(AnySoftmax):
    """Add ``m`` radians to the angle of the target: ``s cos(angle + m)``; the others are ``s cos(angle)``.

    ``cos(angle + m)`` is expanded as ``cos(angle) cos(m) - sin(angle) sin(m)``; where the cosine is 1 or -1, or
    rounding puts it beyond, the sine is 1e-6 with gradient 0, since its gradient is infinite there.

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, arXiv:1801.07698.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the scaled logits ``(N, C)``; arguments as in :class:`AnySoftmax`."""
        logits = at_least_float32(logits)
        cos = _gather_target(logits, targets)  # (N, 1)
        sin = (1 - cos.square()).clamp(min=1e-12).sqrt()  # (N, 1)
        return self.s * _put_target(logits, targets, cos * math.cos(self.m) - sin * math.sin(self.m))


@CLS_LAYER_REGISTRY.register()
class CircleSoftmax(AnySoftmax):
    """Weight every cosine by how far it is from where it should be, which pulls the decision towards a circle.

    With cosine z, the target's logit is ``s [1 + m - z]+ (z - (1 - m))``, the others' ``s [z + m]+ (z - m)``; the
    weights in brackets carry no gradient.

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020,
    arXiv:2002.10857.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the scaled logits ``(N, C)``; arguments as in :class:`AnySoftmax`."""
        logits = at_least_float32(logits)
        own = _gather_target(logits, targets)  # (N, 1)
        own = F.relu(1 + self.m - own.detach()) * (own - (1 - self.m))
        others = F.relu(logits.detach() + self.m) * (logits - self.m)  # (N, C)
        return self.s * _put_target(others, targets, own)
