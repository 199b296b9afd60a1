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

from .one_line import one_line

__all__ = [
    "NeighbourFailed",
    "all_gather",
    "all_gather_tensor",
    "gather",
    "get_local_rank",
    "get_local_size",
    "get_rank",
    "get_world_size",
    "is_main_process",
    "raise_on_all",
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


def all_gather_tensor(tensor: Tensor, *, chunk_bytes: int = 2**26) -> Tensor:
    """Concatenate the rows of every rank's tensor, in rank order.

    Args:
        tensor: ``(N_r, ...)``, any dtype that the backend can send; ``N_r`` may differ between ranks, the rest may not.
        chunk_bytes: send so much of it at a time, so that what is needed beside the result is a chunk of each rank.

    Returns:
        ``(sum N_r, ...)`` on the tensor's device; the tensor itself on a single process. Carries no gradient.
    """
    world = get_world_size()
    if world == 1:
        return tensor
    wire = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    counts = [torch.zeros(1, dtype=torch.int64, device=wire) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(tensor)], dtype=torch.int64, device=wire))
    sizes = [int(count) for count in counts]
    row = tensor[:0].new_empty((1, *tensor.shape[1:]))
    at_a_time = max(1, chunk_bytes // max(1, row.numel() * row.element_size()))
    whole = tensor.new_empty((sum(sizes), *tensor.shape[1:]))
    places = whole.split(sizes)  # one view for each rank
    for start in range(0, max(sizes), at_a_time):
        rows = min(at_a_time, max(sizes) - start)
        local = tensor.new_zeros((rows, *tensor.shape[1:]), device=wire)
        own = tensor.detach()[start : start + rows]
        local[: len(own)] = own
        parts = [torch.empty_like(local) for _ in range(world)]
        dist.all_gather(parts, local)
        for place, part in zip(places, parts, strict=True):
            target = place[start : start + rows]
            target.copy_(part[: len(target)])
    return whole


class NeighbourFailed(RuntimeError):
    """This process is fine, but another one is not, and has told."""


def raise_on_all(error: Exception | None) -> None:
    """Raise on every rank if there was an error on one; every rank must call it.

    So no rank waits for one that has given up.

    Args:
        error: what went wrong here; ``None``: nothing.

    Raises:
        Exception: ``error`` itself on the rank that has one.
        NeighbourFailed: on the others, with the first rank that has one and its message in one line.
    """
    messages = all_gather(None if error is None else one_line(error))
    if error is not None:
        raise error
    for rank, message in enumerate(messages):
        if message is not None:
            raise NeighbourFailed(f"rank {rank} failed with {message}")


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
