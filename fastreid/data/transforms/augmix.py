from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchvision.transforms import v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY
from .probability import stage_probability

__all__ = ["AugMix", "augmix"]


class AugMix:
    """Mix an image with chains of simple augmentations of itself.

    Source: Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty",
    ICLR 2020, arXiv:1912.02781.

    Args:
        prob: probability that an image is changed at all, in [0, 1].
        aug_prob_coeff: parameter of the Dirichlet and Beta distributions of the mixing weights, > 0.
        mixture_width: number of chains, at least 1.
        mixture_depth: operations in a chain, at least 1; -1 draws 1 to 3.
        aug_severity: strength of the operations, 1 to 10.
    """

    def __init__(
        self,
        prob: float = 0.5,
        aug_prob_coeff: float = 0.1,
        mixture_width: int = 3,
        mixture_depth: int = 1,
        aug_severity: int = 1,
    ) -> None:
        # Only the operations of the paper: colour, contrast, brightness and sharpness stay out.
        mix = v2.AugMix(aug_severity, mixture_width, mixture_depth, alpha=aug_prob_coeff, all_ops=False)
        self._apply = v2.RandomApply([mix], p=prob)

    def __call__(self, image: Any) -> Any:
        """Return the augmented PIL image or uint8 tensor ``(3, H, W)``; the argument stays as it is."""
        return self._apply(image)

    def __repr__(self) -> str:
        return f"AugMix({self._apply})"


@TRANSFORM_REGISTRY.register()
def augmix(cfg: CfgNode) -> Callable | None:
    """Apply ``AugMix`` with ``INPUT.AUGMIX.PROB``; on with ``INPUT.AUGMIX.ENABLED``."""
    return AugMix(prob=stage_probability(cfg, "AUGMIX")) if cfg.INPUT.AUGMIX.ENABLED else None
