from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .build import SAMPLER_REGISTRY
from .draws import draw_rows, number_labels
from .identity_base import IdentitySampler

__all__ = ["BalancedIdentitySampler"]


@SAMPLER_REGISTRY.register()
class BalancedIdentitySampler(IdentitySampler):
    """Fill every global batch with ``P`` identities, and show each from another camera than that of its first image.

    In one pass each identity gives one group, whatever its number of images: an anchor drawn from all its images, and
    ``K - 1`` drawn from those of other cameras than the anchor's; where there is no other camera, from all but the
    anchor. They are drawn without replacement from at least ``K`` candidates, and with replacement from fewer. An
    identity's only image is repeated. ``IdentitySampler`` says how groups become batches, and what the arguments are.
    """

    def lay_out(self, identity: np.ndarray, counts: np.ndarray, data_source: Sequence[tuple[Any, ...]]) -> None:
        """Sort the images by identity and camera, and say where each image's camera begins and ends there."""
        camera = number_labels(map(operator.itemgetter(2), data_source))  # (N,)
        self._images = np.lexsort((camera, identity))  # (N,)
        self._begins = np.cumsum(counts) - counts  # (I,) place of each identity's first image
        self._counts = counts
        sorted_identity = identity[self._images]
        blocks = sorted_identity * (camera.max() + 1) + camera[self._images]  # (N,) ascending
        within = self._begins[sorted_identity]  # (N,) places count from the identity's first image
        self._camera_begins = np.searchsorted(blocks, blocks, side="left") - within  # (N,)
        self._camera_ends = np.searchsorted(blocks, blocks, side="right") - within  # (N,)

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Draw one group of each identity, the anchor first, ``(I, K)`` int64."""
        counts = self._counts  # (I,)
        anchor = (rng.random(len(counts)) * counts).astype(np.int64)  # (I,)
        # The images of an identity are a ring: behind the end of the anchor's camera come all other cameras.
        begin, end = (edges[self._begins + anchor] for edges in (self._camera_begins, self._camera_ends))  # (I,)
        one_camera = end - begin == counts  # (I,)
        left_out = np.where(one_camera, 1, end - begin)  # (I,)
        behind = np.where(one_camera, anchor + 1, end)  # (I,)
        candidates = counts - left_out  # (I,), 0 where the anchor is the only image: it is behind itself
        others = draw_rows(
            np.maximum(candidates, 1), self.num_instances - 1, rng, distinct=candidates >= self.num_instances
        )  # (I, K - 1)
        others = (behind[:, None] + others) % counts[:, None]
        return self._images[self._begins[:, None] + np.column_stack([anchor, others])]
