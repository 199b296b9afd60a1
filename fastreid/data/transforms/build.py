"""The registry of preprocessing stages, and the pipelines made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from ...config import CfgNode, get_cfg
from ...utils.registry import Registry
from .batch_stage import BatchStage
from .to_tensor import to_pixels

__all__ = ["TRANSFORM_REGISTRY", "Pipeline", "build_transforms"]

TRANSFORM_REGISTRY = Registry("TRANSFORM")
"""Stages of the preprocessing, by the names that ``INPUT.TRANSFORMS`` puts in order.

Called as ``stage(cfg)``; returns a callable, or ``None`` where the config turns the stage off. The callable maps a
uint8 tensor ``(3, H, W)``, RGB, to another, and leaves its argument as it is; one that works on PIL images is wrapped
in ``OnPil``. Randomness comes from the global streams of Python, numpy or torch, which the data set seeds for each
item. A stage that needs other images of the set defines ``bind(img_paths)``, see ``Pipeline.bind``; one that must also
know who is on them and which of them it gets defines ``bind(img_paths, pids)`` and ``at(place)``, see ``Pipeline.at``.
"""


class Pipeline:
    """Turn an image into a tensor and apply transforms to it, one after the other.

    Args:
        transforms: callables from a uint8 tensor ``(3, H, W)`` to another, see ``TRANSFORM_REGISTRY``.
        batch_stages: the last stages, by name, of which :meth:`prepare` only draws what they will do to the image.
    """

    def __init__(
        self,
        transforms: Sequence[Callable[[Tensor], Tensor]],
        batch_stages: Mapping[str, BatchStage] | None = None,
    ) -> None:
        self.transforms = list(transforms)
        self.batch_stages = dict(batch_stages or {})

    def __call__(self, image: Image.Image | np.ndarray | Tensor) -> Tensor:
        """Process one image.

        Args:
            image: PIL image of any mode, uint8 array ``(H, W, 3)``, or uint8 tensor ``(3, H, W)``; RGB.

        Returns:
            The last transform's tensor, contiguous: ``(3, H', W')``, uint8 as far as this library's stages go.
        """
        return self._run(image, [*self.transforms, *self.batch_stages.values()])

    def prepare(self, image: Image.Image | np.ndarray | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Process one image up to the batch stages, and draw for those.

        Args:
            image: as above.

        Returns:
            The tensor that the batch stages take, and the parameters ``(P,)`` of each of them by its name.
        """
        pixels = self._run(image, self.transforms)
        return pixels, {name: stage.draw(*pixels.shape[-2:]) for name, stage in self.batch_stages.items()}

    def _run(self, image: Image.Image | np.ndarray | Tensor, transforms: Sequence[Callable]) -> Tensor:
        pixels = image if isinstance(image, Tensor) else to_pixels(image)
        for transform in transforms:
            try:
                pixels = transform(pixels)
            except (AttributeError, TypeError) as error:
                error.add_note(
                    f"{transform!r} of INPUT.TRANSFORMS gets a uint8 tensor (3, H, W); if it takes a PIL image, "
                    "register OnPil(...) of it"
                )
                raise
        return pixels.contiguous()

    def bind(self, img_paths: Sequence[str], pids: Sequence[Hashable] | None = None) -> Pipeline:
        """Return a copy whose stages know the images of the data set that they work for.

        Args:
            img_paths: path of every image of the set; given to the transforms that define ``bind``.
            pids: its identity; given to those that also define ``at``. ``None``: these are not bound.
        """

        def knowing(stage: Callable) -> Callable:
            if not hasattr(stage, "bind"):
                return stage
            if not hasattr(stage, "at"):
                return stage.bind(img_paths)
            return stage if pids is None else stage.bind(img_paths, pids)

        bound = copy.copy(self)
        bound.transforms = [knowing(stage) for stage in self.transforms]
        return bound

    def at(self, place: int) -> Pipeline:
        """Return the pipeline for one image: a copy, if there are transforms that define ``at``.

        Args:
            place: of the image among those that the pipeline is bound to; given to these transforms.
        """
        if not any(hasattr(stage, "at") for stage in self.transforms):
            return self
        placed = copy.copy(self)
        placed.transforms = [stage.at(place) if hasattr(stage, "at") else stage for stage in self.transforms]
        return placed

    def behind(self, stages: int) -> Pipeline:
        """Return a copy without the first ``stages`` of the transforms."""
        rest = copy.copy(self)
        rest.transforms = self.transforms[stages:]
        return rest

    def __repr__(self) -> str:
        later = [f"on the device: {stage!r}" for stage in self.batch_stages.values()]
        return f"Pipeline({', '.join([*map(repr, self.transforms), *later])})"


def build_transforms(cfg: CfgNode, is_train: bool = True) -> Pipeline:
    """Build the preprocessing of ``INPUT``: an image -> uint8 tensor ``(3, H, W)``, RGB, 0..255.

    Args:
        cfg: the config; its ``INPUT`` is read.
        is_train: the stages of ``INPUT.TRANSFORMS.TRAIN``, with augmentation, or those of ``INPUT.TRANSFORMS.TEST``.

    Raises:
        KeyError: if a stage is not registered.
        ValueError: if a value of ``INPUT`` is not possible, turns on a stage that has no place in the order, or wants
            one on the device that cannot be there.
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
    used = [(name, stage) for name, stage in zip(order, stages, strict=True) if stage is not None]
    first = _first_on_device(used, order, cfg.INPUT.ON_DEVICE) if is_train else len(used)
    return Pipeline([stage for _, stage in used[:first]], dict(used[first:]))


def _first_on_device(used: Sequence[tuple[str, Callable]], order: Sequence[str], on_device: Sequence[str]) -> int:
    """Return the place in ``used`` from which on all stages are on the device, having checked that they can be."""
    for name in on_device:
        if name not in order:
            raise ValueError(f"INPUT.ON_DEVICE names {name!r}, which is not in INPUT.TRANSFORMS.TRAIN {tuple(order)}")
    places = [place for place, (name, _) in enumerate(used) if name in on_device]
    for place, (name, stage) in enumerate(used[min(places, default=len(used)) :], min(places, default=0)):
        if place not in places:
            raise ValueError(
                f"INPUT.ON_DEVICE: {used[places[0]][0]!r} is to run on the device, but {name!r}, which comes after it "
                f"in INPUT.TRANSFORMS.TRAIN, in the workers; add {name!r} to ON_DEVICE if it can be there, turn it "
                "off, or change the order"
            )
        if not isinstance(stage, BatchStage):
            raise ValueError(
                f"INPUT.ON_DEVICE: {name!r} cannot run on the device, because it is no BatchStage; of the library's "
                "stages, horizontal_flip, color_jitter and random_erasing can"
            )
    if len({name for name, _ in used[len(used) - len(places) :]}) < len(places):
        raise ValueError("INPUT.ON_DEVICE: a stage that is in INPUT.TRANSFORMS.TRAIN twice cannot run on the device")
    return len(used) - len(places)
