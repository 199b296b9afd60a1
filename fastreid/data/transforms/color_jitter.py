from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .on_pil import OnPil
from .probability import stage_probability

__all__ = ["color_jitter"]


@TRANSFORM_REGISTRY.register()
def color_jitter(cfg: CfgNode) -> Callable | None:
    """Change brightness, contrast, saturation and hue with ``INPUT.CJ.PROB``; on with ``INPUT.CJ.ENABLED``.

    The strengths are ``INPUT.CJ.BRIGHTNESS``, ``CONTRAST``, ``SATURATION`` (a factor in [1 - x, 1 + x]) and ``HUE``
    (turns of the colour circle, in [-x, x], x at most 0.5).

    Raises:
        ValueError: if a strength is out of its range.
    """
    jitter = cfg.INPUT.CJ
    if not jitter.ENABLED:
        return None
    for key in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        most = 0.5 if key == "HUE" else float("inf")
        if not 0 <= jitter[key] <= most:
            raise ValueError(f"INPUT.CJ.{key} must be in [0, {most}], got {jitter[key]}")
    change = v2.ColorJitter(
        brightness=jitter.BRIGHTNESS, contrast=jitter.CONTRAST, saturation=jitter.SATURATION, hue=jitter.HUE
    )
    # On PIL images, where the change of the hue takes half the time.
    return v2.RandomApply([OnPil(change)], p=stage_probability(cfg, "CJ"))
