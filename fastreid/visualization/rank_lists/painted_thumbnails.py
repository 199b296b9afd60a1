"""Images of a test set as the model takes them, with what it sees painted over them, in the size of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from ...data.data_utils import ImageReadError
from ..maps.activation import activation_maps
from ..maps.overlay import overlay
from ..thumbnails import Thumbnails, fit_into

__all__ = ["PaintedThumbnails", "activation_painter"]


class PaintedThumbnails:
    """Images of a test set, painted over.

    Args:
        paint: makes of uint8 ``(N, 3, H, W)`` N pictures ``(H, W, 3)`` uint8, RGB.
        dataset: its items hold the images as the model takes them, ``images`` uint8 ``(3, H, W)``.
        plain: of the same images; gives the size of a cell, and stands in for those that cannot be read.
        batch: images that are painted at a time, at least 1.

    Attributes:
        width, height: of a cell, in pixels.
        broken: see :class:`~fastreid.visualization.Thumbnails`.
    """

    def __init__(
        self,
        paint: Callable[[Tensor], Sequence[np.ndarray]],
        dataset: Dataset,
        plain: Thumbnails,
        *,
        batch: int = 64,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch must be at least 1 image, got {batch}")
        self.width, self.height, self.broken = plain.width, plain.height, plain.broken
        self._paint, self._dataset, self._plain, self._batch = paint, dataset, plain, batch
        self._pictures: dict[int, Image.Image] = {}

    def prepare(self, places: Sequence[int]) -> None:
        """Paint the images that will be asked for next; all others are forgotten."""
        self._pictures = {place: self._pictures[place] for place in places if place in self._pictures}
        missing = [place for place in dict.fromkeys(places) if place not in self._pictures]
        for start in range(0, len(missing), self._batch):
            self._add(missing[start : start + self._batch])

    def __call__(self, place: int) -> Image.Image:
        """Return one of the images that were prepared; it must not be changed."""
        return self._pictures[place]

    def _add(self, places: Sequence[int]) -> None:
        images: dict[int, Tensor] = {}
        for place in places:
            try:
                images[place] = self._dataset[place]["images"]
            except ImageReadError as error:
                self._pictures[place] = self._plain.stand_in(place, error)
        if images:
            pictures = self._paint(torch.stack(list(images.values())))
            for place, picture in zip(images, pictures, strict=True):
                self._pictures[place] = fit_into(Image.fromarray(picture), self.width, self.height)


def activation_painter(model: nn.Module, method: str = "auto") -> Callable[[Tensor], Sequence[np.ndarray]]:
    """Return what lays a model's activation maps over images, for :class:`PaintedThumbnails`.

    Args:
        model: any that embeds; stays as it is.
        method: see ``activation_maps``.
    """

    def paint(images: Tensor) -> list[np.ndarray]:
        maps = activation_maps(model, images, method=method)
        return [
            overlay(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), own)
            for image, own in zip(images, maps, strict=True)
        ]

    return paint
