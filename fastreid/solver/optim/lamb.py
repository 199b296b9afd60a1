"""LAMB: Adam whose step is as long as the weights that it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..build import OPTIMIZER_REGISTRY

__all__ = ["Lamb"]


@OPTIMIZER_REGISTRY.register()
class Lamb(Optimizer):
    """Scale the step of each parameter tensor by the ratio of its norm to the step's, for very large batches.

    With Adam's bias-corrected moments ``m`` and ``v``, the step is ``u = m / (sqrt(v) + eps) + weight_decay * w`` and
    ``w`` becomes ``w - lr * ratio * u``, where ``ratio = |w| / |u|``, or 1 if either norm is 0.

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020,
    arXiv:1904.00962, algorithm 2, with the identity for phi.

    Args:
        params: parameters or parameter groups.
        lr: learning rate, >= 0.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the root of the second moment, > 0.
        weight_decay: decoupled from the gradient, >= 0.
        adam: keep ``ratio`` at 1, which is AdamW.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        adam: bool = False,
    ) -> None:
        for name, value, fits, bounds in (
            ("lr", lr, lr >= 0, ">= 0"),
            ("betas", betas, len(betas) == 2 and all(0 <= beta < 1 for beta in betas), "two numbers in [0, 1)"),
            ("eps", eps, eps > 0, "> 0"),
            ("weight_decay", weight_decay, weight_decay >= 0, ">= 0"),
        ):
            if not fits:
                raise ValueError(f"{name} must be {bounds}, got {value}")
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "adam": adam}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the gradients and returns the loss, which is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = _adam_direction(parameter, self.state[parameter], group)
                    if not group["adam"]:
                        update *= _trust_ratio(parameter, update)
                    parameter.sub_(update, alpha=group["lr"])
        return loss


def _adam_direction(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """Move the moments on, and return the step before it is scaled, of the shape of ``parameter``."""
    if not state:
        state["step"] = 0
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    state["step"] += 1
    beta1, beta2 = group["betas"]
    mean = state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
    mean = mean / (1 - beta1 ** state["step"])
    root = (square / (1 - beta2 ** state["step"])).sqrt_()
    return mean.div_(root.add_(group["eps"])).add_(parameter, alpha=group["weight_decay"])


def _trust_ratio(parameter: Tensor, update: Tensor) -> Tensor:
    """Return ``|parameter| / |update|``, 1 if either is 0, as a tensor ``()``: the CPU need not wait for it."""
    weight_norm, update_norm = parameter.norm(), update.norm()
    defined = (weight_norm > 0) & (update_norm > 0)
    return torch.where(defined, weight_norm / update_norm, 1.0)
