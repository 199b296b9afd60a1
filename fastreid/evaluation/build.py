from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import CfgNode
from ..utils.registry import Registry

if TYPE_CHECKING:
    from .evaluator import DatasetEvaluator

__all__ = ["EVALUATOR_REGISTRY", "build_evaluator"]

EVALUATOR_REGISTRY = Registry("EVALUATOR")
"""``DatasetEvaluator`` classes, by the name in ``TEST.EVALUATOR``.

Called as ``Cls(cfg, num_query=..., output_dir=...)`` for each test set: its first ``num_query`` images are the queries.
The batches' ``targets`` and ``camids`` are the test set's own numbers. A result called ``metric`` decides which model
is the best.
"""


def build_evaluator(cfg: CfgNode, num_query: int, output_dir: str | None = None) -> DatasetEvaluator:
    """Build the evaluator ``TEST.EVALUATOR`` for a test set.

    Raises:
        KeyError: if no evaluator has that name.
    """
    return EVALUATOR_REGISTRY.get(cfg.TEST.EVALUATOR)(cfg, num_query=num_query, output_dir=output_dir)
