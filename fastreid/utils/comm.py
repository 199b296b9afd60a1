"""Talk between the processes of one run; every function is a no-op on a single process.

All of it stands on ``torch.distributed``, which ``engine.launch`` or torchrun sets up.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "all_gather",
    "all_gather_tensor",
    "gather",
    "get_local_rank",
    "get_local_size",
    "get_rank",
    "get_world_size",
    "is_main_process",
    "reduce_dict",
    "shared_random_seed",
    "synchronize",
]


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    """Return the number of processes of the run."""
    return dist.get_world_size() if _is_distributed() else 1


def get_rank() -> int:
    """Return this process's number in the run, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def get_local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", 0)) if _is_distributed() else 0


def get_local_size() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", get_world_size())) if _is_distributed() else 1


def is_main_process() -> bool:
    """Tell whether this is the process that writes files and prints."""
    return get_rank() == 0


def synchronize() -> None:
    """Wait until every process is here."""
    if get_world_size() > 1:
        if dist.get_backend() == "nccl":
            dist.barrier(device_ids=[torch.cuda.current_device()])
        else:
            dist.barrier()


def all_gather(data: Any, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Return the picklable ``data`` of every rank, in rank order."""
    if get_world_size() == 1:
        return [data]
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, data, group=group)
    return gathered


def gather(data: Any, dst: int = 0, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Return the picklable ``data`` of every rank on rank ``dst``, and ``[]`` on the others."""
    gathered = all_gather(data, group)
    return gathered if get_rank() == dst else []


def all_gather_tensor(tensor: Tensor) -> Tensor:
    """Concatenate the rows of every rank's tensor, in rank order.

    Args:
        tensor: ``(N_r, ...)``, any dtype that the backend can send; ``N_r`` may differ between ranks, the rest may not.

    Returns:
        ``(sum N_r, ...)`` on the tensor's device; the tensor itself on a single process. Carries no gradient.
    """
    world = get_world_size()
    if world == 1:
        return tensor
    home = tensor.device
    wire = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    local = tensor.detach().to(wire).contiguous()
    counts = [torch.zeros(1, dtype=torch.int64, device=wire) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(local)], dtype=torch.int64, device=wire))
    sizes = [int(count) for count in counts]
    padded = local.new_zeros((max(sizes), *local.shape[1:]))
    padded[: len(local)] = local
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).to(home)


def reduce_dict(input_dict: dict[str, Tensor], average: bool = True) -> dict[str, Tensor]:
    """Add up (or average) a dict of scalar tensors over the ranks, in one message.

    Args:
        input_dict: the same keys on every rank.
        average: divide by the number of ranks.

    Returns:
        A new dict, right on every rank; the values of the caller's own dict stay as they are.
    """
    if get_world_size() == 1:
        return input_dict
    with torch.no_grad():
        names = sorted(input_dict)
        values = torch.stack([input_dict[name].detach() for name in names])  # (K,)
        dist.all_reduce(values)
        if average:
            values = values / get_world_size()
    return dict(zip(names, values, strict=True))


def shared_random_seed() -> int:
    """Return a random number in [0, 2**31) that is the same on every rank.

    It is drawn from numpy's global stream, so that a seeded run draws the same one again.
    """
    return all_gather(int(np.random.randint(2**31 - 1)))[0]
