"""Limit gradients before each update."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from ..config import CfgNode
from .gradient_rule import with_gradient_rule

__all__ = ["GradientClipType", "maybe_add_gradient_clipping"]


class GradientClipType(Enum):
    """What ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` may say."""

    VALUE = "value"
    NORM = "norm"
    FULL_NORM = "full_norm"


def maybe_add_gradient_clipping(cfg: CfgNode, optimizer: type[Optimizer]) -> type[Optimizer]:
    """Return a class of optimizer that clips gradients before each update, if ``SOLVER.CLIP_GRADIENTS`` asks for it.

    With ``value`` each number of a gradient is moved into ``[-CLIP_VALUE, CLIP_VALUE]``. With ``norm`` the gradient of
    each parameter tensor by itself is scaled down to a ``NORM_TYPE``-norm of at most ``CLIP_VALUE``; with ``full_norm``
    all gradients together are, by one factor, so that the direction of the update stays.

    Args:
        cfg: ``SOLVER.CLIP_GRADIENTS``.
        optimizer: a class of optimizer.

    Returns:
        The class itself if clipping is off, otherwise a subclass.

    Raises:
        ValueError: if the type is unknown, or the limit or the norm is not above 0.
    """
    options = cfg.SOLVER.CLIP_GRADIENTS
    if not options.ENABLED:
        return optimizer
    clip = _clipper(options.CLIP_TYPE, options.CLIP_VALUE, options.NORM_TYPE)

    def clip_gradients(instance: Optimizer) -> None:
        clip([parameter for group in instance.param_groups for parameter in group["params"]])

    return with_gradient_rule(optimizer, clip_gradients, name="WithGradientClip")


def _clipper(clip_type: str, limit: float, norm_type: float) -> Callable[[list[Tensor]], object]:
    known = [kind.value for kind in GradientClipType]
    if clip_type not in known:
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE must be one of {', '.join(known)}, got {clip_type!r}")
    for key, value in (("CLIP_VALUE", limit), ("NORM_TYPE", norm_type)):
        if not value > 0:
            raise ValueError(f"SOLVER.CLIP_GRADIENTS.{key} must be > 0, got {value}")
    clippers = {  # a parameter without a gradient is left out by torch
        GradientClipType.VALUE: lambda parameters: clip_grad_value_(parameters, limit),
        GradientClipType.NORM: lambda parameters: _clip_each_norm(parameters, limit, norm_type),
        GradientClipType.FULL_NORM: lambda parameters: clip_grad_norm_(parameters, limit, norm_type),
    }
    return clippers[GradientClipType(clip_type)]


@torch.no_grad()
def _clip_each_norm(parameters: list[Tensor], limit: float, norm_type: float) -> None:
    """Do what ``clip_grad_norm_`` does, to each parameter by itself, with kernels for many parameters at a time."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    factors = torch._foreach_norm(gradients, norm_type)
    torch._foreach_add_(factors, 1e-6)  # as torch does, against a division by 0
    torch._foreach_reciprocal_(factors)
    torch._foreach_mul_(factors, limit)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)
