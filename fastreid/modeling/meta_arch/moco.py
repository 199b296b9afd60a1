from __future__ import annotations

import logging
from typing import Any

from torch import Tensor, nn

from ...config import CfgNode, configurable
from ..losses.feature_memory import FeatureMemory
from .baseline import Baseline
from .build import META_ARCH_REGISTRY

__all__ = ["MoCo"]

logger = logging.getLogger(__name__)


@META_ARCH_REGISTRY.register()
class MoCo(Baseline):
    """:class:`Baseline` whose images are also compared with a memory of earlier ones, as ``loss_mb``.

    The memory is part of the state dict, ``memory.queue`` ``(D, K)``, ``memory.queue_label`` ``(1, K)`` and
    ``memory.queue_ptr`` ``(1,)``, so that a resumed run goes on with it. Weights without a memory, or of another
    number of classes, start with an empty one.

    Args:
        memory: called with features ``(N, D)`` and targets ``(N,)``; returns a scalar.
        parts: see :class:`Baseline`.
    """

    @configurable
    def __init__(self, *, memory: nn.Module, **parts: Any) -> None:
        super().__init__(**parts)
        self.memory = memory

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL``; the memory has ``MODEL.QUEUE_SIZE`` entries of the width that metric losses see."""
        node = cfg.MODEL.HEADS
        before_neck = node.FC_DIM or cfg.MODEL.BACKBONE.FEAT_DIM
        dim = before_neck if node.NECK_FEAT == "before" else node.EMBEDDING_DIM or before_neck
        return {**super().from_config(cfg), "memory": FeatureMemory(dim, cfg.MODEL.QUEUE_SIZE)}

    def losses(self, outputs: dict[str, Tensor], gt_labels: Tensor) -> dict[str, Tensor]:
        """Return the losses of :class:`Baseline`, and ``loss_mb`` of ``outputs["features"]``."""
        losses = super().losses(outputs, gt_labels)
        return {**losses, "loss_mb": self.memory(outputs["features"], gt_labels)}

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Do as :class:`Baseline`, and put in an empty memory where there is none, or one of other classes."""
        super().upgrade_state_dict(state_dict, prefix)
        own, theirs = (state.get(f"{at}heads.weight") for state, at in ((self.state_dict(), ""), (state_dict, prefix)))
        other_classes = own is not None and theirs is not None and own.shape != theirs.shape
        if other_classes or not any(key.startswith(f"{prefix}memory.") for key in state_dict):
            logger.info("The memory starts empty: the weights have none%s", " of these classes" * other_classes)
            empty = FeatureMemory(*self.memory.queue.shape).state_dict()
            state_dict.update((f"{prefix}memory.{key}", value) for key, value in empty.items())
