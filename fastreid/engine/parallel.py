"""Spread a model over the processes of a run."""

from __future__ import annotations

import inspect

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..utils import comm

__all__ = ["data_parallel"]


def data_parallel(model: nn.Module) -> nn.Module:
    """Wrap a model so that its gradients are averaged over the ranks; on one process return it as it is.

    Batch-norm statistics stay each rank's own; checkpoints hold rank 0's.
    """
    if comm.get_world_size() == 1:
        return model
    device = next(model.parameters()).device
    ids = [device.index] if device.type == "cuda" else None
    # The option that leaves statistics alone has got a new name in newer versions of torch.
    options = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers"
    return DistributedDataParallel(model, device_ids=ids, **{name: False})
