"""k-reciprocal re-ranking as a test-time option."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch

from ...config import CfgNode, configurable
from ..rank_shares import knn_together
from ..rerank import KReciprocal
from .build import POSTPROCESS_REGISTRY, Retrieval, search_device

__all__ = ["Rerank"]

logger = logging.getLogger(__name__)


@POSTPROCESS_REGISTRY.register()
class Rerank:
    """k-reciprocal re-ranking; see :class:`~fastreid.evaluation.rerank.KReciprocal`.

    Args:
        k1: ``TEST.RERANK.K1``, at least 1.
        k2: ``TEST.RERANK.K2``, at least 1.
        lambda_value: ``TEST.RERANK.LAMBDA``, in [0, 1].
        device: where neighbours are searched; ``None``: where the features are.
        memory_gb: ``TEST.MEMORY_GB``, for the search.
    """

    key = "RERANK"
    is_last = True

    @configurable
    def __init__(
        self,
        *,
        k1: int = 20,
        k2: int = 6,
        lambda_value: float = 0.3,
        device: torch.device | None = None,
        memory_gb: float = 0.25,
    ) -> None:
        if k1 < 1 or k2 < 1 or not 0 <= lambda_value <= 1:
            raise ValueError(
                "TEST.RERANK.K1 and TEST.RERANK.K2 must be at least 1 and TEST.RERANK.LAMBDA in [0, 1], "
                f"got {k1}, {k2} and {lambda_value}"
            )
        self._k1, self._k2, self._lambda, self._device, self._memory_gb = k1, k2, lambda_value, device, memory_gb

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``TEST.RERANK``, ``TEST.MEMORY_GB`` and ``MODEL.DEVICE``."""
        node = cfg.TEST.RERANK
        return {
            "k1": node.K1,
            "k2": node.K2,
            "lambda_value": node.LAMBDA,
            "device": search_device(cfg),
            "memory_gb": cfg.TEST.MEMORY_GB,
        }

    def __call__(self, retrieval: Retrieval) -> Retrieval:
        """Set what changes the similarities before they are ranked."""
        logger.info("Test with rerank setting")
        features = torch.cat([retrieval.query.features, retrieval.gallery.features])
        if not len(features):
            return retrieval
        k = max(self._k1 + 1, self._k2)
        neighbours = knn_together(
            features, features, k, metric=retrieval.metric, device=self._device, memory_gb=self._memory_gb
        )
        rule = KReciprocal(
            features,
            len(retrieval.query),
            neighbours,
            metric=retrieval.metric,
            k1=self._k1,
            k2=self._k2,
            lambda_value=self._lambda,
            memory_gb=self._memory_gb,
        )
        return replace(retrieval, adjust=rule)
