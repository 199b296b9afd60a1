"""The registry of test-time options, and the chain of those that are on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ...config import CfgNode
from ...utils.comm import get_local_rank
from ...utils.device import resolve_device
from ...utils.memory import ResidentPeak
from ...utils.registry import Registry
from ..features import FeatureSet
from ..rank_blocks import Adjust, Adjustment

__all__ = [
    "POSTPROCESS_REGISTRY",
    "Postprocess",
    "Retrieval",
    "build_postprocess",
    "postprocess_names",
    "search_device",
]

logger = logging.getLogger(__name__)

POSTPROCESS_REGISTRY = Registry("TEST.POSTPROCESS")
"""Classes of test-time options, by the name in ``TEST.POSTPROCESS``.

Built as ``Cls(cfg)``; called with a ``Retrieval``, it returns another and leaves its argument as it is. Over several
processes each calls it with the same images and must get the same. Two class attributes say when it runs: ``key``, the
node of ``TEST`` whose ``ENABLED`` switches it on, or ``None``: whenever it is listed; and ``is_last``: True if no other
may come after it, because it says how similarities are ranked.
"""


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Queries that are about to be ranked against a gallery.

    Args:
        query: Q images, with the cameras of the test set.
        gallery: G images.
        metric: a name in ``METRIC_REGISTRY``.
        adjust: what changes the similarities before they are ranked, see ``rank_matches``.
    """

    query: FeatureSet
    gallery: FeatureSet
    metric: str
    adjust: Adjust | None = None


class Postprocess:
    """Apply test-time options one after the other, and measure each.

    Args:
        steps: name and step of each, in their order.

    Attributes:
        report: for each name ``seconds``, ``memory_mib`` (the highest resident memory above that before, as seen every
            few milliseconds; not where the system does not tell) and, if it goes on while similarities are ranked,
            ``ranking_seconds``; of this process, over all calls since ``report`` was cleared.
    """

    def __init__(self, steps: Sequence[tuple[str, Callable[[Retrieval], Retrieval]]] = ()) -> None:
        self._steps = list(steps)
        self.report: dict[str, dict[str, float]] = {}

    def __call__(self, retrieval: Retrieval) -> Retrieval:
        """Return what the last step makes of what the others made of it."""
        for name, step in self._steps:
            start = time.perf_counter()
            before = retrieval.adjust
            with ResidentPeak() as memory:
                retrieval = step(retrieval)
            seconds = time.perf_counter() - start
            figures = self.report.setdefault(name, {"seconds": 0.0})
            figures["seconds"] += seconds
            if memory.mib is not None:
                figures["memory_mib"] = max(memory.mib, figures.get("memory_mib", 0.0))
            logger.info(
                "%s took %.1f s and %s MiB", name, seconds, "unknown" if memory.mib is None else round(memory.mib)
            )
            if retrieval.adjust is not None and retrieval.adjust is not before:
                figures.setdefault("ranking_seconds", 0.0)
                retrieval = replace(retrieval, adjust=_Timed(retrieval.adjust, figures))
        return retrieval


class _Timed:
    """Call an ``adjust`` and add the seconds that it takes to ``figures["ranking_seconds"]``."""

    def __init__(self, adjust: Adjust, figures: dict[str, float]) -> None:
        self._adjust, self._figures = adjust, figures

    def __call__(self, query: int) -> Adjustment:
        start = time.perf_counter()
        result = self._adjust(query)
        self._figures["ranking_seconds"] += time.perf_counter() - start
        return result


def build_postprocess(cfg: CfgNode) -> Postprocess:
    """Build those of ``TEST.POSTPROCESS`` that are switched on.

    Raises:
        KeyError: if one is not registered.
        ValueError: if one is switched on and not listed, or comes after one that must be the last.
    """
    listed = list(cfg.TEST.POSTPROCESS)
    for name in sorted(POSTPROCESS_REGISTRY):
        key = POSTPROCESS_REGISTRY.get(name).key
        if name not in listed and key is not None and cfg.TEST[key].ENABLED:
            raise ValueError(f"TEST.{key}.ENABLED is True, but TEST.POSTPROCESS is {listed}; add {name!r} to it")
    running = [(name, POSTPROCESS_REGISTRY.get(name)) for name in postprocess_names(cfg)]
    for name, cls in running[:-1]:
        if cls.is_last:
            raise ValueError(f"{name} must be the last of TEST.POSTPROCESS that is on, got {[n for n, _ in running]}")
    return Postprocess([(name, cls(cfg)) for name, cls in running])


def postprocess_names(cfg: CfgNode) -> list[str]:
    """Return the names of ``TEST.POSTPROCESS`` that are on, in their order.

    Raises:
        KeyError: if one is not registered.
    """
    classes = {name: POSTPROCESS_REGISTRY.get(name) for name in cfg.TEST.POSTPROCESS}
    return [name for name, cls in classes.items() if cls.key is None or cfg.TEST[cls.key].ENABLED]


def search_device(cfg: CfgNode) -> torch.device | None:
    """Return the GPU of ``MODEL.DEVICE`` to search neighbours on, or ``None``: where the features are."""
    device = resolve_device(cfg.MODEL.DEVICE, local_rank=get_local_rank())
    return device if device.type == "cuda" else None
