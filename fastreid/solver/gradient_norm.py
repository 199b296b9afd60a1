"""The size of all gradients together."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["gradient_norm"]


@torch.no_grad()
def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of the gradients of all parameters together, without waiting for the device.

    It takes two kernels and one per chunk of parameters on a GPU, and reads each gradient once.

    Args:
        parameters: those without a gradient do not count; all on one device.

    Returns:
        Scalar, at least float32, on the device of the gradients; infinity also where it would be NaN, so that the
        median of several norms is one; a CPU zero if there is no gradient.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients, 2.0)  # what torch.nn.utils.get_total_norm, of torch 2.6, does too
    wide = torch.promote_types(max((norm.dtype for norm in norms), key=lambda dtype: dtype.itemsize), torch.float32)
    total = torch.linalg.vector_norm(torch.stack([norm.to(wide) for norm in norms]))
    return total.nan_to_num(nan=torch.inf, posinf=torch.inf)
