"""Make the batch norms of a model that is built already those of all ranks together."""

from __future__ import annotations

import logging
from collections import Counter

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .batch_norm import BatchNorm, SyncBatchNorm

__all__ = ["synchronise_batch_norms"]

logger = logging.getLogger(__name__)

_PLAIN = (BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronise_batch_norms(model: nn.Module) -> nn.Module:
    """Put a :class:`SyncBatchNorm` in the place of each plain batch norm, with the same parameters and buffers.

    Keys, weights and modes stay. Classes derived from batch norm (``GhostBatchNorm``, one's own) mean something else by
    it, and stay as well; the log says how many there are.

    Args:
        model: changed in place, before an optimizer or a data-parallel wrapper is built on it.

    Returns:
        The model; a new module if the model itself is a batch norm.
    """
    left: Counter[str] = Counter()
    model = _convert(model, left)
    if left:
        names = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
        logger.warning("MODEL.SYNC_BN: %s are not plain batch norms, and keep to the batch of their own rank", names)
    return model


def _convert(module: nn.Module, left: Counter[str]) -> nn.Module:
    if type(module) in _PLAIN:
        return _synchronised(module)
    if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
        left[type(module).__name__] += 1
    for name, child in module.named_children():
        converted = _convert(child, left)
        if converted is not child:
            setattr(module, name, converted)
    return module


def _synchronised(norm: _BatchNorm) -> SyncBatchNorm:
    made = SyncBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    made.affine, made.track_running_stats = norm.affine, norm.track_running_stats
    made.weight, made.bias = norm.weight, norm.bias
    made.running_mean, made.running_var = norm.running_mean, norm.running_var
    made.num_batches_tracked = norm.num_batches_tracked
    return made.train(norm.training)
