"""Spread a model over the processes of a run."""

from __future__ import annotations

import inspect

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..utils import comm

__all__ = ["data_parallel", "share_buffers"]


def data_parallel(model: nn.Module) -> nn.Module:
    """Wrap a model so that its gradients are averaged over the ranks; on one process return it as it is.

    Batch-norm statistics are each rank's own during training, unless the norms are synchronised; see
    :func:`share_buffers`. A classifier that no loss reads gets no gradient, as on one process.
    """
    if comm.get_world_size() == 1:
        return model
    device = next(model.parameters()).device
    ids = [device.index] if device.type == "cuda" else None
    # The option that leaves statistics alone has got a new name in newer versions of torch.
    options = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers"
    return _DataParallel(model, device_ids=ids, find_unused_parameters=_trains_features_alone(model), **{name: False})


def _trains_features_alone(model: nn.Module) -> bool:
    """Tell whether no loss of a model reads class logits, so that the weights of its classifier get no gradient."""
    losses = getattr(model, "criteria", {}).values()
    return bool(losses) and all(getattr(loss, "reads", None) == "features" for loss in losses)


class _DataParallel(DistributedDataParallel):
    """torch's wrapper, which also takes the ``SyncBatchNorm`` of this library on the CPU; torch's own fails there."""

    def _passing_sync_batchnorm_handle(self, module: nn.Module) -> None:
        pass


def share_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0, in place: the batch-norm statistics that a checkpoint holds.

    Every rank must call it before an evaluation, which is spread over them and must be of one model.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
