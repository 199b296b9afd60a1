from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..utils import comm

__all__ = ["MovingAverage", "move_towards", "of_rank_0"]


@torch.no_grad()
def move_towards(average: Sequence[Tensor], source: Sequence[Tensor], share: float) -> None:
    """Set ``average = (1 - share) * average + share * source``, in place, in a few kernels for all tensors together.

    Args:
        average: floating-point tensors.
        source: of the same shapes, on the same devices; another dtype is converted.
        share: of the source, in [0, 1].
    """
    if average:
        torch._foreach_lerp_(list(average), [new.to(old.dtype) for old, new in zip(average, source)], share)


class MovingAverage:
    """A model whose parameters and buffers follow another one's, as an exponential moving average.

    The first update copies; from then on ``average = momentum * average + (1 - momentum) * source``, also for
    batch-norm statistics, while whole numbers are copied. With several ranks the buffers followed are those of rank 0,
    which are the ones that a checkpoint holds, so that the average is the same everywhere and after resuming.

    It is no module, so that a module that has one does not take the average for a part of itself.

    Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, arXiv:1703.01780.

    Args:
        model: the average; its tensors are changed. It has none whose name the source has not.
        momentum: share of the old average, in [0, 1).

    Raises:
        ValueError: if the momentum is not in that range.
    """

    def __init__(self, model: nn.Module, momentum: float) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"the momentum of a moving average (KD.EMA.MOMENTUM) must be in [0, 1), got {momentum}")
        self.model = model
        self.momentum = momentum
        self.started = False

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Move towards ``source``; every rank must call it."""
        parameters, buffers = dict(source.named_parameters()), dict(source.named_buffers())
        weight = 1 - self.momentum if self.started else 1.0
        self.started = True
        weights = dict(self.model.named_parameters())
        own = dict(self.model.named_buffers())
        theirs = of_rank_0({name: buffers[name] for name in own})
        moving = {name: value for name, value in own.items() if value.is_floating_point()}
        move_towards(
            [*weights.values(), *moving.values()],
            [*(parameters[name] for name in weights), *(theirs[name] for name in moving)],
            weight,
        )
        for name in own.keys() - moving.keys():
            own[name].copy_(theirs[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of the average; nothing before the first update."""
        return self.model.state_dict() if self.started else {}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state_dict` returned."""
        self.started = bool(state_dict)
        if state_dict:
            self.model.load_state_dict(state_dict)


def of_rank_0(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of rank 0, in one message; on one process the tensors themselves. Every rank must call it."""
    if comm.get_world_size() == 1 or not tensors:
        return tensors
    flat = torch.cat([tensor.flatten().double() for tensor in tensors.values()])
    dist.broadcast(flat, 0)
    parts = flat.split([tensor.numel() for tensor in tensors.values()])
    return {name: part.view_as(tensor) for (name, tensor), part in zip(tensors.items(), parts)}
