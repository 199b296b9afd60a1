from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...utils.events import get_event_storage, has_event_storage

__all__ = ["classification_accuracy", "log_accuracy"]


@torch.no_grad()
def classification_accuracy(pred_class_logits: Tensor, gt_classes: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Return the share of images whose class is among the k highest logits, for each k.

    Args:
        pred_class_logits: ``(N, C)`` float.
        gt_classes: ``(N,)`` int64; images with -1, which have no class here, do not count.
        topk: the values of k, at least 1; one above C means C.

    Returns:
        For each k a scalar tensor in [0, 1], on the device of the logits; 0 if no image counts.
    """
    classes = min(max(topk), pred_class_logits.shape[1])
    hits = pred_class_logits.topk(classes, dim=1).indices == gt_classes[:, None]  # (N, K)
    counted = (gt_classes >= 0).sum().clamp(min=1)
    return [hits[:, :k].sum() / counted for k in topk]


def log_accuracy(pred_class_logits: Tensor, gt_classes: Tensor, topk: Sequence[int] = (1,)) -> None:
    """Put ``cls_accuracy`` into the current event storage; without a storage do nothing.

    The tensor is put as it is: nothing waits for the device.

    Args:
        pred_class_logits: ``(N, C)`` float, without margin.
        gt_classes: ``(N,)`` int64.
        topk: the first is logged as ``cls_accuracy``, each further k as ``cls_accuracy_top{k}``.
    """
    if not has_event_storage():
        return
    storage = get_event_storage()
    names = ["cls_accuracy", *(f"cls_accuracy_top{k}" for k in topk[1:])]
    for name, value in zip(names, classification_accuracy(pred_class_logits, gt_classes, topk), strict=True):
        storage.put_scalar(name, value)
