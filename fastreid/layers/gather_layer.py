from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..utils import comm

__all__ = ["GatherLayer"]


class GatherLayer(torch.autograd.Function):
    """Gather a tensor from every rank, with gradient: ``GatherLayer.apply(x)`` is a tuple, one tensor per rank.

    What comes back is the gradient of this rank's loss with respect to this rank's tensor; what other ranks' losses
    have to say about it is not added. Where every rank computes the same loss of all tensors, nothing is missing.

    Every rank must call it, with a tensor of the same shape. On a single process it returns a tuple of one.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of all ranks, in rank order."""
        if comm.get_world_size() == 1:
            return (input.clone(),)
        gathered = [torch.empty_like(input) for _ in range(comm.get_world_size())]
        dist.all_gather(gathered, input.contiguous())
        return tuple(gathered)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient of this rank's tensor."""
        return grads[comm.get_rank()]
