from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .on_pil import OnPil
from .probability import stage_probability

__all__ = ["AutoAugment", "auto_augment"]


class AutoAugment(v2.AutoAugment):
    """Apply one of the 25 sub-policies that were learnt on ImageNet, chosen at random.

    Source: Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data", CVPR 2019, arXiv:1805.09501.

    Args:
        fill: colour, 0..255, of what a rotation, shear or shift uncovers.
    """

    def __init__(self, *, fill: tuple[int, int, int] = (128, 128, 128)) -> None:
        super().__init__(v2.AutoAugmentPolicy.IMAGENET, fill=list(fill))


@TRANSFORM_REGISTRY.register()
def auto_augment(cfg: CfgNode) -> Callable | None:
    """Apply ``AutoAugment`` with ``INPUT.AUTOAUG.PROB``; on with ``INPUT.AUTOAUG.ENABLED``."""
    if not cfg.INPUT.AUTOAUG.ENABLED:
        return None
    # On PIL images, where most of the operations take half the time.
    return v2.RandomApply([OnPil(AutoAugment())], p=stage_probability(cfg, "AUTOAUG"))
