from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from ...config import CfgNode

__all__ = ["is_range", "probability", "stage_probability"]

logger = logging.getLogger(__name__)


def probability(value: float, key: str) -> float:
    """Return ``value`` if it is a probability.

    Args:
        value: what the config says.
        key: the config key, for the error.

    Raises:
        ValueError: if it is outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{key} must be a probability in [0, 1], got {value}")
    return float(value)


def is_range(values: Sequence[float]) -> bool:
    """Tell whether ``values`` are two finite numbers, the least and the largest.

    Example:
        >>> is_range([0.1, 2]), is_range([2, 0.1]), is_range([1, float("inf")]), is_range(["a", "b"])
        (True, False, False, False)
    """
    numbers = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    return len(numbers) == len(values) == 2 and numbers[0] <= numbers[1]


def stage_probability(cfg: CfgNode, stage: str) -> float:
    """Return ``INPUT.<stage>.PROB`` of a stage that is turned on; a warning says if it is 0, as some defaults are.

    Raises:
        ValueError: if it is outside [0, 1].
    """
    value = probability(cfg.INPUT[stage].PROB, f"INPUT.{stage}.PROB")
    if value == 0:
        logger.warning("INPUT.%s is ENABLED, but changes no image: its PROB is 0; raise it", stage)
    return value
