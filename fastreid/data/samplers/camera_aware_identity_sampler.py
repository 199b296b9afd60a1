from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .build import SAMPLER_REGISTRY
from .draws import draw_in_turn, number_labels
from .identity_base import IdentitySampler

__all__ = ["CameraAwareIdentitySampler"]


@SAMPLER_REGISTRY.register()
class CameraAwareIdentitySampler(IdentitySampler):
    """Fill every global batch with ``P`` identities, each seen by as many cameras as ``K`` images allow.

    In one pass each identity gives one group. Its cameras take turns, each time with an image drawn from those not yet
    in the group; a camera without one is passed over, and in a last turn that not all can have, chance decides. Only
    when the identity has no image left do they come again. So a group has ``min(K, cameras)`` cameras, as evenly as the
    images allow, and ``min(K, images)`` different images. ``BalancedIdentitySampler`` only leaves out the anchor's
    camera: its ``K - 1`` other images may all be of one camera, and repeat where there are fewer than ``K`` of them.
    ``IdentitySampler`` says how groups become batches, and what the arguments are.
    """

    def lay_out(self, identity: np.ndarray, counts: np.ndarray, data_source: Sequence[tuple[Any, ...]]) -> None:
        """Say for each slot of a group, in which turn it is and how many cameras take part in that."""
        camera = number_labels(map(operator.itemgetter(2), data_source))  # (N,)
        keys = identity * (camera.max() + 1) + camera  # (N,)
        by_camera = np.argsort(keys, kind="stable")  # (N,) images sorted by identity and camera
        views, begins, sizes = np.unique(keys[by_camera], return_index=True, return_counts=True)  # (V,)
        owner = views // (camera.max() + 1)  # (V,) identity of each view, which is a camera of an identity
        largest_first = np.lexsort((-sizes, owner))  # (V,) so that those in a turn are the first ones
        self._images = by_camera
        # One more stands for the slots beyond an identity's last image.
        self._view_begins = np.append(begins[largest_first], 0)  # (V + 1,)
        self._view_sizes = np.append(sizes[largest_first], self.num_instances)  # (V + 1,)
        self._lay_out_slots(owner, counts, within=np.arange(len(keys)) - np.repeat(begins, sizes), sizes=sizes)

    def _lay_out_slots(self, owner: np.ndarray, counts: np.ndarray, *, within: np.ndarray, sizes: np.ndarray) -> None:
        """``within`` ``(N,)`` numbers the images of each view: its ``t``-th one comes in turn ``t``."""
        turns = np.sort(np.repeat(owner, sizes) * counts.max() + within)  # (N,) identity after identity
        _, begins, widths = np.unique(turns, return_index=True, return_counts=True)  # (T,) of each turn
        place = np.arange(self.num_instances)[:, None]  # (K, 1)
        start = np.cumsum(counts) - counts  # (I,)
        self._counts = counts
        self._is_new = place < counts  # (K, I); the other slots repeat one of these
        slot = start + place % counts  # (K, I) in turns
        turn_number = np.repeat(np.arange(len(begins)), widths)[slot]  # (K, I)
        nth = slot - begins[turn_number]  # (K, I) place of the slot in its turn
        used = np.minimum(widths[turn_number], start + self.num_instances - begins[turn_number])  # (K, I)
        self._turn = turns[slot] % counts.max()  # (K, I)
        # Each turn of each identity draws from its own range of numbers: no camera twice in a turn.
        views = len(owner)
        first_view = np.searchsorted(owner, np.arange(len(counts)))  # (I,)
        self._first = np.where(self._is_new, self._turn * views + first_view, -1 - place)  # (K, I)
        self._last = np.where(self._is_new, self._first + widths[turn_number] - used + nth, self._first)  # (K, I)

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Draw one group of each identity, ``(I, K)`` int64."""
        views = len(self._view_sizes) - 1
        view = np.where(self._is_new, draw_in_turn(self._first, self._last, rng) % views, views)  # (K, I)
        uses = np.stack([(view == one).sum(axis=0) for one in view])  # (K, I) slots of the group with the same view
        first = self._view_begins[view]  # (K, I)
        last = first + self._view_sizes[view] - uses + self._turn  # (K, I)
        last = np.where(self._is_new, last, first)
        places = draw_in_turn(first, last, rng)  # (K, I)
        shift = np.where(self._is_new[-1], 0, rng.random(len(self._counts)) * self._counts).astype(np.int64)  # (I,)
        slots = (np.arange(self.num_instances)[:, None] + shift) % self._counts  # (K, I)
        return self._images[np.take_along_axis(places, slots, axis=0)].T
