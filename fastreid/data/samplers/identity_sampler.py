from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .build import SAMPLER_REGISTRY
from .draws import draw_rows, shuffle_within
from .identity_base import IdentitySampler

__all__ = ["NaiveIdentitySampler"]


@SAMPLER_REGISTRY.register()
class NaiveIdentitySampler(IdentitySampler):
    """Fill every global batch with ``P`` different identities and ``K`` images of each, for metric losses.

    In one pass each identity's images are shuffled and cut into groups of ``K`` (a rest below ``K`` waits for the
    next pass; an identity with fewer than ``K`` images gives one group, drawn with replacement). So the identities
    with many images come more often, and nearly every image is used. ``IdentitySampler`` says how groups become
    batches, and what the arguments are.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737, section 2.
    """

    def lay_out(self, identity: np.ndarray, counts: np.ndarray, data_source: Sequence[tuple[Any, ...]]) -> np.ndarray:
        """Say which places of the images, sorted by identity, make which group."""
        k = self.num_instances
        groups = np.maximum(counts // k, 1)  # (I,)
        owner = np.repeat(np.arange(len(counts)), groups)  # (G,)
        nth = np.arange(len(owner)) - (np.cumsum(groups) - groups)[owner]  # (G,) number of the group in the identity
        begins = (np.cumsum(counts) - counts)[owner]  # (G,) place of the identity's first image
        self._identity = identity
        self._places = (begins + nth * k)[:, None] + np.arange(k)  # (G, K)
        self._scarce = np.flatnonzero(counts[owner] < k)  # (S,) the groups drawn with replacement
        self._scarce_begins = begins[self._scarce, None]  # (S, 1)
        self._scarce_counts = counts[owner[self._scarce]]  # (S,)
        return groups

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Cut each identity's images, shuffled, into groups, ``(G, K)`` int64."""
        by_identity = shuffle_within(self._identity, rng)  # (N,)
        groups = by_identity.take(self._places, mode="clip")  # (G, K); places of scarce groups may be beyond the end
        drawn = draw_rows(self._scarce_counts, self.num_instances, rng, distinct=np.zeros(len(self._scarce), bool))
        groups[self._scarce] = by_identity[self._scarce_begins + drawn]
        return groups
