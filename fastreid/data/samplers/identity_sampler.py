from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .build import SAMPLER_REGISTRY
from .draws import shuffle_within
from .identity_base import IdentitySampler

__all__ = ["NaiveIdentitySampler"]


@SAMPLER_REGISTRY.register()
class NaiveIdentitySampler(IdentitySampler):
    """Fill every global batch with ``P`` different identities and ``K`` images of each, for metric losses.

    In one pass each identity's images are shuffled and cut into groups of ``K`` (a rest below ``K`` waits for the
    next pass; an identity with fewer than ``K`` images gives one group, drawn with replacement). Each batch takes the
    next group of ``P`` identities, chosen at random among those that have one left; the pass ends when fewer than ``P``
    have. So the identities with many images come more often, and nearly every image is used. ``IdentitySampler`` says
    what the arguments are.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737, section 2.
    """

    def lay_out(self, identity: np.ndarray, counts: np.ndarray, data_source: Sequence[tuple[Any, ...]]) -> None:
        """Say which places of the images, sorted by identity, make which group."""
        k = self.num_instances
        groups = np.maximum(counts // k, 1)  # (I,) groups of each identity
        self._group_ends = np.cumsum(groups)  # (I,)
        self._group_begins = self._group_ends - groups  # (I,)
        owner = np.repeat(np.arange(len(counts)), groups)  # (G,) identity of each group
        nth = np.arange(len(owner)) - self._group_begins[owner]  # (G,) its number within the identity
        begins = np.cumsum(counts) - counts  # (I,) place of each identity's first image
        self._identity = identity
        # In the groups drawn with replacement, each pass puts other places.
        self._places = (begins[owner] + nth * k)[:, None] + np.arange(k)  # (G, K)
        self._scarce = np.flatnonzero(counts[owner] < k)  # (S,) groups of identities with too few images
        self._scarce_begins = begins[owner[self._scarce], None]  # (S, 1)
        self._scarce_counts = counts[owner[self._scarce], None]  # (S, 1)

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Cut each identity's images, shuffled, into groups; return those of all identities, ``(G, K)`` int64."""
        by_identity = shuffle_within(self._identity, rng)  # (N,)
        places = self._places.copy()
        places[self._scarce] = self._scarce_begins + rng.integers(
            self._scarce_counts, size=(len(self._scarce), self.num_instances)
        )
        return by_identity[places]

    def pass_length(self, number: int) -> int:
        """Return the number of images in pass ``number``, a multiple of the global batch size."""
        return len(self._group_order(number)) * self.num_instances

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        rng = np.random.default_rng((self.seed, number, 2))
        return self.draw_groups(rng)[self._group_order(number)].reshape(-1)

    def _group_order(self, number: int) -> list[int]:
        """Draw the groups of one pass, batch after batch.

        A batch is a partial Fisher-Yates shuffle: the chosen identities move to the end of the list of those with
        groups left. Plain lists, because a numpy call per batch would cost ten times as much.
        """
        order: list[int] = []
        draws = np.random.default_rng((self.seed, number, 1)).random(len(self._places)).tolist()
        upcoming, ends = self._group_begins.tolist(), self._group_ends.tolist()
        alive = list(range(len(ends)))  # identities with a group left
        while len(alive) >= self.identities_per_batch:
            rest = len(alive)  # those not yet chosen for this batch are in front
            for draw in draws[len(order) : len(order) + self.identities_per_batch]:
                slot = int(draw * rest)
                rest -= 1
                identity = alive[slot]
                alive[slot], alive[rest] = alive[rest], identity
                order.append(upcoming[identity])
                upcoming[identity] += 1
            alive[rest:] = [identity for identity in alive[rest:] if upcoming[identity] < ends[identity]]
        return order
