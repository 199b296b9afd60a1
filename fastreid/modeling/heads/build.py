from __future__ import annotations

from torch import nn

from ...config import CfgNode
from ...utils.registry import Registry

__all__ = ["REID_HEADS_REGISTRY", "build_heads"]

REID_HEADS_REGISTRY = Registry("HEADS")
"""Classes (or functions) that take a config and return a head.

A head is called with a feature map ``(N, C, h, w)``, and in training with targets ``(N,)`` int64. In eval mode it
returns the embedding ``(N, D)``, not normalised; in training mode a dict with ``features`` ``(N, D)``,
``pred_class_logits`` ``(N, C)`` without margin and ``cls_outputs`` ``(N, C)`` with it; and perhaps ``parts``, more such
dicts by name, of which Baseline computes the losses too. One with ``start_from(backbone)`` is shown the backbone, with
the weights that it starts from, before training or loading. It must be possible to build it
without classes, unless, like ``ClasHead``, it returns the logits of the classes in place of the embedding.
"""


def build_heads(cfg: CfgNode) -> nn.Module:
    """Build the head ``MODEL.HEADS.NAME``.

    Raises:
        KeyError: if no head has that name.
    """
    return REID_HEADS_REGISTRY.get(cfg.MODEL.HEADS.NAME)(cfg)
