"""The registry of preprocessing stages, and the pipelines made of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torchvision.transforms import Compose

from ...config import CfgNode
from ...utils.registry import Registry

__all__ = ["TEST_STAGES", "TRAIN_STAGES", "TRANSFORM_REGISTRY", "Pipeline", "build_transforms"]

TRANSFORM_REGISTRY = Registry("TRANSFORM")
"""Stages of the preprocessing, by name.

Called as ``stage(cfg)``; returns a callable, or ``None`` where the config turns the stage off. The stages before
``to_tensor`` map a PIL image in mode RGB to another, those after it a uint8 tensor ``(3, H, W)``. Randomness comes
from the global streams, which the data set seeds for each item. A stage that needs other images of the set
defines ``bind(img_paths)``, see ``Pipeline.bind``.
"""

TRAIN_STAGES = (
    "auto_augment",
    "resize_train",
    "random_resized_crop",
    "pad_and_crop",
    "horizontal_flip",
    "color_jitter",
    "affine",
    "augmix",
    "to_tensor",
    "random_erasing",
    "random_patch",
)
TEST_STAGES = ("resize_test", "center_crop", "to_tensor")


class Pipeline(Compose):
    """Apply transforms one after the other."""

    def bind(self, img_paths: Sequence[str]) -> Pipeline:
        """Return a copy whose stages know the images of the data set that they work for.

        Args:
            img_paths: path of every image of the set; given to the transforms that define ``bind``.
        """
        bound = copy.copy(self)
        bound.transforms = [stage.bind(img_paths) if hasattr(stage, "bind") else stage for stage in self.transforms]
        return bound


def build_transforms(cfg: CfgNode, is_train: bool = True) -> Pipeline:
    """Build the preprocessing of ``INPUT``: a PIL image in mode RGB -> uint8 tensor ``(3, H, W)``, RGB, 0..255.

    Args:
        cfg: the config; its ``INPUT`` is read.
        is_train: with augmentation (``TRAIN_STAGES``), or without (``TEST_STAGES``).

    Raises:
        ValueError: if a value of ``INPUT`` is not possible.
    """
    names = TRAIN_STAGES if is_train else TEST_STAGES
    stages = (TRANSFORM_REGISTRY.get(name)(cfg) for name in names)
    return Pipeline([stage for stage in stages if stage is not None])
