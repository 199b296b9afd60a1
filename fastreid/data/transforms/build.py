"""The registry of preprocessing stages, and the pipelines made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from ...config import CfgNode, get_cfg
from ...utils.registry import Registry
from .to_tensor import to_pixels

__all__ = ["TRANSFORM_REGISTRY", "Pipeline", "build_transforms"]

TRANSFORM_REGISTRY = Registry("TRANSFORM")
"""Stages of the preprocessing, by the names that ``INPUT.TRANSFORMS`` puts in order.

Called as ``stage(cfg)``; returns a callable, or ``None`` where the config turns the stage off. The callable maps a
uint8 tensor ``(3, H, W)``, RGB, to another, and leaves its argument as it is; one that works on PIL images is wrapped
in ``OnPil``. Randomness comes from the global streams of Python, numpy or torch, which the data set seeds for each
item. A stage that needs other images of the set defines ``bind(img_paths)``, see ``Pipeline.bind``.
"""


class Pipeline:
    """Turn an image into a tensor and apply transforms to it, one after the other.

    Args:
        transforms: callables from a uint8 tensor ``(3, H, W)`` to another, see ``TRANSFORM_REGISTRY``.
    """

    def __init__(self, transforms: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Image.Image | np.ndarray | Tensor) -> Tensor:
        """Process one image.

        Args:
            image: PIL image of any mode, uint8 array ``(H, W, 3)``, or uint8 tensor ``(3, H, W)``; RGB.

        Returns:
            The last transform's tensor, contiguous: ``(3, H', W')``, uint8 as far as this library's stages go.
        """
        pixels = image if isinstance(image, Tensor) else to_pixels(image)
        for transform in self.transforms:
            try:
                pixels = transform(pixels)
            except (AttributeError, TypeError) as error:
                error.add_note(
                    f"{transform!r} of INPUT.TRANSFORMS gets a uint8 tensor (3, H, W); if it takes a PIL image, "
                    "register OnPil(...) of it"
                )
                raise
        return pixels.contiguous()

    def bind(self, img_paths: Sequence[str]) -> Pipeline:
        """Return a copy whose stages know the images of the data set that they work for.

        Args:
            img_paths: path of every image of the set; given to the transforms that define ``bind``.
        """
        bound = copy.copy(self)
        bound.transforms = [stage.bind(img_paths) if hasattr(stage, "bind") else stage for stage in self.transforms]
        return bound

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.transforms))})"


def build_transforms(cfg: CfgNode, is_train: bool = True) -> Pipeline:
    """Build the preprocessing of ``INPUT``: an image -> uint8 tensor ``(3, H, W)``, RGB, 0..255.

    Args:
        cfg: the config; its ``INPUT`` is read.
        is_train: the stages of ``INPUT.TRANSFORMS.TRAIN``, with augmentation, or those of ``INPUT.TRANSFORMS.TEST``.

    Raises:
        KeyError: if a stage is not registered.
        ValueError: if a value of ``INPUT`` is not possible, or turns on a stage that has no place in the order.
    """
    phase = "TRAIN" if is_train else "TEST"
    order = cfg.INPUT.TRANSFORMS[phase]
    stages = [TRANSFORM_REGISTRY.get(name)(cfg) for name in order]
    for name in get_cfg().INPUT.TRANSFORMS[phase]:
        if name not in order and TRANSFORM_REGISTRY.get(name)(cfg) is not None:
            raise ValueError(
                f"INPUT turns {name!r} on, but INPUT.TRANSFORMS.{phase} {tuple(order)} has no place for it; name it "
                "there, or turn it off"
            )
    return Pipeline([stage for stage in stages if stage is not None])
