from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import CfgNode, configurable
from .build import SAMPLER_REGISTRY, stream_seed
from .draws import number_labels
from .stream import StreamSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["ImbalancedDatasetSampler"]


@SAMPLER_REGISTRY.register()
class ImbalancedDatasetSampler(StreamSampler):
    """Draw images with replacement, each with a probability of one over the size of its class.

    So every class comes equally often, and within a class every image. Rank ``r`` of ``W`` takes the samples
    ``r, r + W, r + 2W, ...`` of the global stream.

    Args:
        data_source: the training items ``(img_path, pid, camid)``, or whatever ``callback_get_label`` understands.
        size: samples in one pass, at least 1; ``None``: as many as there are items.
        seed: at least 0; ``None`` draws one that is the same on every rank.
        callback_get_label: ``(data_source, index) -> label`` of an item; ``None``: its pid.

    Raises:
        ValueError: if there is nothing to draw from, or ``size`` is below 1.
    """

    @configurable
    def __init__(
        self,
        data_source: Sequence[Any],
        size: int | None = None,
        seed: int | None = None,
        callback_get_label: Callable[[Sequence[Any], int], Hashable] | None = None,
    ) -> None:
        if len(data_source) == 0:
            raise ValueError("ImbalancedDatasetSampler needs at least one image to draw from, got an empty data_source")
        self._size = len(data_source) if size is None else size
        if self._size < 1:
            raise ValueError(f"size must be >= 1, or None for one sample per image, got {size}")
        super().__init__(share=1, seed=seed)
        get_label = _pid if callback_get_label is None else callback_get_label
        label = number_labels(get_label(data_source, index) for index in range(len(data_source)))  # (N,)
        self._counts = np.bincount(label)  # (C,)
        self._begins = np.cumsum(self._counts) - self._counts  # (C,) place of each class's first image
        self._images = np.argsort(label, kind="stable")  # (N,)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, dataset: CommDataset) -> dict[str, Any]:
        """Draw from the whole ``dataset`` with the stream of ``SEED``."""
        return {"data_source": dataset.img_items, "seed": stream_seed(cfg)}

    def pass_length(self, number: int) -> int:
        """Return ``size``."""
        return self._size

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, ``(size,)`` int64."""
        # The 1 keeps this stream apart from that of the item at position ``number``.
        rng = np.random.default_rng((self.seed, number, 1))
        label = rng.integers(len(self._counts), size=self._size)
        within = (rng.random(self._size) * self._counts[label]).astype(np.int64)
        return self._images[self._begins[label] + within]


def _pid(data_source: Sequence[Any], index: int) -> Hashable:
    return data_source[index][1]
