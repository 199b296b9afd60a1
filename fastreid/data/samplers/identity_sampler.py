from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from .build import SAMPLER_REGISTRY
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
        """Put identities with equally many images into one table, so that a pass shuffles few tables."""
        rising = np.argsort(counts, kind="stable")  # identities by their number of images, from here on their order
        counts = counts[rising]  # (I,)
        rank = np.empty_like(rising)
        rank[rising] = np.arange(len(rising))
        places = rank[identity] * len(identity) + np.arange(len(identity))  # (N,)
        places.sort()  # unique numbers: faster than a stable argsort, and the same on every machine
        by_identity = places % len(identity)  # (N,)
        sizes, identities = np.unique(counts, return_counts=True)  # both (T,)
        tables = np.split(by_identity, np.cumsum(sizes * identities)[:-1])
        self._tables = [table.reshape(-1, size) for table, size in zip(tables, sizes.tolist(), strict=True)]
        groups = np.maximum(counts // self.num_instances, 1)  # (I,) groups of each identity
        self._group_ends = np.cumsum(groups)  # (I,)
        self._group_begins = self._group_ends - groups  # (I,)
        self._owner = np.repeat(np.arange(len(counts)), groups)  # (G,) identity of each group

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Cut each identity's images, shuffled, into groups; return those of all identities, ``(G, K)`` int64."""
        k = self.num_instances
        groups = []
        for table in self._tables:  # (identities, images of each)
            identities, size = table.shape
            if size < k:
                drawn = np.take_along_axis(table, rng.integers(size, size=(identities, k)), axis=1)
            else:
                drawn = rng.permuted(table, axis=1)[:, : size - size % k]
            groups.append(drawn.reshape(-1, k))
        return np.concatenate(groups)

    def pass_length(self, number: int) -> int:
        """Return the number of images in pass ``number``, a multiple of the global batch size."""
        return len(self._group_order(number)) * self.num_instances

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        rng = np.random.default_rng((self.seed, number, 2))
        return self.draw_groups(rng)[self._group_order(number)].reshape(-1)

    def _group_order(self, number: int) -> np.ndarray:
        """Draw the groups of one pass, batch after batch, ``(G',)`` int64."""
        rng = np.random.default_rng((self.seed, number, 1))
        drawn = self._draw_while_many(rng)  # identities
        drawn = np.concatenate(
            (drawn, self._draw_while_enough(rng, np.bincount(drawn, minlength=self._num_identities)))
        )
        # An identity's first turn takes its first group, and so on.
        by_identity = np.argsort(drawn, kind="stable")
        counts = np.bincount(drawn, minlength=self._num_identities)  # (I,)
        order = np.empty_like(drawn)
        order[by_identity] = (
            self._group_begins.repeat(counts) + np.arange(len(drawn)) - (np.cumsum(counts) - counts).repeat(counts)
        )
        return order

    def _draw_while_many(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the identities of the first batches of a pass, all at once, ``(B * P,)``; of a small set none.

        Every group gets an arrival time, and those of an identity arrive one after the other after waits that know
        nothing of each other. So each arrival is that of any identity with groups left, all equally likely. An identity
        that arrives twice within a batch changes places with one of the next batch, which is rare: this ends where
        fewer than 64 P identities have groups left.
        """
        p = self.identities_per_batch
        if self._num_identities < 64 * p:
            return np.empty(0, dtype=np.int64)
        times = np.cumsum(rng.standard_exponential(len(self._owner)))  # (G,)
        times -= np.append(0.0, times)[self._group_begins][self._owner]
        arrivals = np.argsort(times)  # (G,)
        place = np.empty_like(arrivals)
        place[arrivals] = np.arange(len(arrivals))
        many_until = np.partition(place[self._group_ends - 1], -64 * p)[-64 * p]
        drawn = self._owner[arrivals[: many_until - many_until % p]]  # (B * P,)
        while len(twice := _repeated(drawn.reshape(-1, p))):
            drawn = drawn[: len(drawn) - p] if twice[-1] >= len(drawn) - p else drawn
            for one in twice[twice < len(drawn) - p].tolist():
                other = (one // p + 1) * p + rng.integers(p)
                drawn[[one, other]] = drawn[[other, one]]
        return drawn

    def _draw_while_enough(self, rng: np.random.Generator, taken: np.ndarray) -> list[int]:
        """Draw identities as long as there are enough for a batch.

        A batch is a partial Fisher-Yates shuffle: the chosen identities move to the end of the list of those with
        groups left. Plain lists, because a numpy call per batch would cost ten times as much.

        Args:
            rng: the source of randomness.
            taken: ``(I,)`` int64, groups of each identity that are drawn already.
        """
        left = self._group_ends - self._group_begins - taken  # (I,)
        draws = iter(rng.random(int(left.sum())).tolist())
        alive = np.flatnonzero(left).tolist()  # identities with a group left
        left = left.tolist()
        drawn: list[int] = []
        while len(alive) >= self.identities_per_batch:
            rest = len(alive)  # those not yet chosen for this batch are in front
            for draw in islice(draws, self.identities_per_batch):
                slot = int(draw * rest)
                rest -= 1
                identity = alive[slot]
                alive[slot], alive[rest] = alive[rest], identity
                drawn.append(identity)
                left[identity] -= 1
            alive[rest:] = [identity for identity in alive[rest:] if left[identity]]
        return drawn


def _repeated(batches: np.ndarray) -> np.ndarray:
    """Return the flat places of ``(B, P)`` whose value its row has farther left, ascending."""
    order = np.argsort(batches, axis=1, kind="stable")  # (B, P)
    ordered = np.take_along_axis(batches, order, axis=1)
    rows, columns = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
    return np.sort(rows * batches.shape[1] + order[rows, columns + 1])
