"""Query expansion and database-side augmentation as test-time options."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from typing import Any

import torch

from ...config import CfgNode, configurable
from ..query_expansion import expand
from ..rank_shares import knn_together
from .build import POSTPROCESS_REGISTRY, Retrieval, search_device

__all__ = ["AQE", "DBA"]

logger = logging.getLogger(__name__)


@POSTPROCESS_REGISTRY.register()
class AQE:
    """Average query expansion over queries and gallery; see :func:`~fastreid.evaluation.query_expansion.aqe`.

    Args:
        times: ``TEST.AQE.QE_TIME``, at least 1.
        k: ``TEST.AQE.QE_K``, at least 1.
        alpha: ``TEST.AQE.ALPHA``, at least 0.
        device: where neighbours are searched; ``None``: where the features are.
        memory_gb: ``TEST.MEMORY_GB``, for the search.
    """

    key = "AQE"
    is_last = False

    @configurable
    def __init__(
        self,
        *,
        times: int = 1,
        k: int = 5,
        alpha: float = 3.0,
        device: torch.device | None = None,
        memory_gb: float = 0.25,
    ) -> None:
        _check("TEST.AQE.QE_TIME", times, "TEST.AQE.QE_K", k, "TEST.AQE.ALPHA", alpha)
        self._expand = functools.partial(expand, times=times, k=k, alpha=alpha)
        self._search = functools.partial(knn_together, device=device, memory_gb=memory_gb)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``TEST.AQE``, ``TEST.MEMORY_GB`` and ``MODEL.DEVICE``."""
        node = cfg.TEST.AQE
        return {
            "times": node.QE_TIME,
            "k": node.QE_K,
            "alpha": node.ALPHA,
            "device": search_device(cfg),
            "memory_gb": cfg.TEST.MEMORY_GB,
        }

    def __call__(self, retrieval: Retrieval) -> Retrieval:
        """Replace the features of queries and gallery."""
        logger.info("Test with AQE setting")
        query, gallery = retrieval.query, retrieval.gallery
        features = self._expand(torch.cat([query.features, gallery.features]), search=self._search)
        return replace(
            retrieval,
            query=replace(query, features=features[: len(query)]),
            gallery=replace(gallery, features=features[len(query) :]),
        )


@POSTPROCESS_REGISTRY.register()
class DBA:
    """Database-side augmentation of the gallery; see :func:`~fastreid.evaluation.query_expansion.dba`.

    Args:
        times: ``TEST.DBA.TIMES``, at least 1.
        k: ``TEST.DBA.K``, at least 1.
        alpha: ``TEST.DBA.ALPHA``, at least 0.
        device: where neighbours are searched; ``None``: where the features are.
        memory_gb: ``TEST.MEMORY_GB``, for the search.
    """

    key = "DBA"
    is_last = False

    @configurable
    def __init__(
        self,
        *,
        times: int = 1,
        k: int = 5,
        alpha: float = 3.0,
        device: torch.device | None = None,
        memory_gb: float = 0.25,
    ) -> None:
        _check("TEST.DBA.TIMES", times, "TEST.DBA.K", k, "TEST.DBA.ALPHA", alpha)
        self._expand = functools.partial(expand, times=times, k=k, alpha=alpha)
        self._search = functools.partial(knn_together, device=device, memory_gb=memory_gb)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``TEST.DBA``, ``TEST.MEMORY_GB`` and ``MODEL.DEVICE``."""
        node = cfg.TEST.DBA
        return {
            "times": node.TIMES,
            "k": node.K,
            "alpha": node.ALPHA,
            "device": search_device(cfg),
            "memory_gb": cfg.TEST.MEMORY_GB,
        }

    def __call__(self, retrieval: Retrieval) -> Retrieval:
        """Replace the features of the gallery."""
        features = self._expand(retrieval.gallery.features, search=self._search)
        return replace(retrieval, gallery=replace(retrieval.gallery, features=features))


def _check(times_key: str, times: int, k_key: str, k: int, alpha_key: str, alpha: float) -> None:
    for key, value, least in ((times_key, times, 1), (k_key, k, 1), (alpha_key, alpha, 0)):
        if value < least:
            raise ValueError(f"{key} must be at least {least}, got {value}")
