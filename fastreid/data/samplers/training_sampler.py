from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import CfgNode, configurable
from .build import SAMPLER_REGISTRY, stream_seed
from .stream import StreamSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["TrainingSampler"]


@SAMPLER_REGISTRY.register()
class TrainingSampler(StreamSampler):
    """Visit every image once per pass, in a new random order each time, without end.

    Rank ``r`` of ``W`` takes the samples ``r, r + W, r + 2W, ...`` of the global stream.

    Args:
        size: number of images, at least 1.
        shuffle: draw a new order for each pass; otherwise the images come in the order of the data set.
        seed: at least 0; ``None`` draws one that is the same on every rank.

    Raises:
        ValueError: if there is no image.
    """

    @configurable
    def __init__(self, size: int, shuffle: bool = True, seed: int | None = None) -> None:
        if size < 1:
            raise ValueError(f"TrainingSampler needs at least one image to draw from, got size {size}")
        super().__init__(share=1, seed=seed)
        self._size = size
        self._shuffle = shuffle

    @classmethod
    def from_config(cls, cfg: CfgNode, *, dataset: CommDataset) -> dict[str, Any]:
        """Draw from the whole ``dataset`` with the stream of ``SEED``."""
        return {"size": len(dataset), "seed": stream_seed(cfg)}

    def pass_length(self, number: int) -> int:
        """Return the number of images."""
        return self._size

    def pass_indices(self, number: int) -> np.ndarray:
        """Return all images in the order of pass ``number``, ``(size,)`` int64."""
        if not self._shuffle:
            return np.arange(self._size)
        # The 1 keeps this stream apart from that of the item at position ``number``.
        return np.random.default_rng((self.seed, number, 1)).permutation(self._size)
