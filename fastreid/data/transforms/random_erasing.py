from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .probability import probability

__all__ = ["random_erasing"]


@TRANSFORM_REGISTRY.register()
def random_erasing(cfg: CfgNode) -> Callable | None:
    """Paint a rectangle in ``INPUT.REA.VALUE`` (RGB, 0..255) with ``INPUT.REA.PROB``; on with ``INPUT.REA.ENABLED``.

    Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv:1708.04896.

    Raises:
        ValueError: if the value is not one of a pixel.
    """
    node = cfg.INPUT.REA
    if not node.ENABLED:
        return None
    if len(node.VALUE) != 3 or not all(0 <= channel <= 255 for channel in node.VALUE):
        raise ValueError(f"INPUT.REA.VALUE must be three numbers (RGB) in 0..255, got {node.VALUE}")
    value = [round(channel) for channel in node.VALUE]  # the images are uint8 here, which would cut 123.675 to 123
    return v2.RandomErasing(p=probability(node.PROB, "INPUT.REA.PROB"), value=value)
