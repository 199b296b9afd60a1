from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import CfgNode, configurable
from ...utils import comm
from .build import SAMPLER_REGISTRY, per_process_batch_size, stream_seed
from .draws import draw_rows, number_labels
from .identity_base import check_groups_fit
from .stream import StreamSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["SetReWeightSampler"]


@SAMPLER_REGISTRY.register()
class SetReWeightSampler(StreamSampler):
    """Fill every batch with a given number of identities from each set, and ``K`` images of each of them.

    A set is what one camid stands for: a camera, or a whole data set where its items have one camid. For every
    ``sum(set_weight)`` identities of a batch, set ``c`` gives ``set_weight[c]``, drawn with a probability proportional
    to their images in the set, and ``K`` of those images (with replacement where there are fewer). The identities of a
    global batch are all different, so that one seen in several sets stands for one of them only. The sets are in the
    order of their sorted camids; strings sort as strings: ``a_10`` comes before ``a_2``. A pass has about as many
    images as the data set. Each rank gets whole identities, by the weights. The global batches do not depend on the
    number of ranks.

    Args:
        data_source: the training items ``(img_path, pid, camid)``.
        mini_batch_size: images in the batch of one process, a multiple of ``sum(set_weight) * num_instances``.
        num_instances: ``K``, images of each identity in a batch, at least 1.
        set_weight: identities of each set, ints of at least 0, not all 0.
        seed: at least 0; ``None`` draws one that is the same on every rank.

    Raises:
        ValueError: if the weights do not fit the sets, do not divide the batch, or a set has too few identities.
    """

    @configurable
    def __init__(
        self,
        data_source: Sequence[tuple[Any, ...]],
        mini_batch_size: int,
        num_instances: int,
        set_weight: Sequence[int],
        seed: int | None = None,
    ) -> None:
        identity = number_labels(map(operator.itemgetter(1), data_source))  # (N,)
        camids = [item[2] for item in data_source]
        names = sorted(set(camids))
        numbers = {name: number for number, name in enumerate(names)}
        in_set = np.fromiter(map(numbers.__getitem__, camids), dtype=np.int64)  # (N,)
        world = comm.get_world_size()
        num_identities = int(identity.max(initial=-1)) + 1
        _check_weights(set_weight, names)
        check_groups_fit(mini_batch_size, num_instances, num_identities=num_identities, world=world)
        rounds = _rounds(set_weight, mini_batch_size, num_instances, world=world)
        super().__init__(share=mini_batch_size, seed=seed)
        self._num_instances = num_instances
        self._num_identities = num_identities
        self._slot_sets = np.tile(np.repeat(np.arange(len(names)), set_weight), rounds)  # (P,)
        self._batches = max(1, len(identity) // (mini_batch_size * world))
        # A member is an identity in a set. The images are sorted by member, so that a set is one stretch of places.
        keys = in_set * num_identities + identity  # (N,)
        self._images = np.argsort(keys, kind="stable")  # (N,)
        self._keys, self._begins, self._counts = np.unique(
            keys[self._images], return_index=True, return_counts=True
        )  # (M,)
        self._member = np.repeat(np.arange(len(self._keys)), self._counts)  # (N,) of each place
        self._set_sizes = np.bincount(in_set)  # (S,)
        self._set_begins = np.cumsum(self._set_sizes) - self._set_sizes  # (S,)
        _check_members(self._keys, num_identities, np.asarray(set_weight) * rounds, names)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, dataset: CommDataset) -> dict[str, Any]:
        """Read ``DATALOADER.SET_WEIGHT`` and ``.NUM_INSTANCE``, ``SOLVER.IMS_PER_BATCH`` and ``SEED``."""
        return {
            "data_source": dataset.img_items,
            "mini_batch_size": per_process_batch_size(cfg.SOLVER.IMS_PER_BATCH),
            "num_instances": cfg.DATALOADER.NUM_INSTANCE,
            "set_weight": cfg.DATALOADER.SET_WEIGHT,
            "seed": stream_seed(cfg),
        }

    def pass_length(self, number: int) -> int:
        """Return the number of images in a pass, a multiple of the global batch size."""
        return self._batches * len(self._slot_sets) * self._num_instances

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        # The 1 keeps this stream apart from that of the item at position ``number``.
        rng = np.random.default_rng((self.seed, number, 1))
        members = self._draw_members(rng).T.reshape(-1)  # (B * P,)
        counts = self._counts[members]
        within = draw_rows(counts, self._num_instances, rng, distinct=counts >= self._num_instances)  # (B * P, K)
        return self._images[self._begins[members][:, None] + within].reshape(-1)

    def _draw_members(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the members in every slot of every batch, ``(P, B)``; set after set, all batches at a time."""
        slots = np.argsort(self._slot_sets, kind="stable")  # (P,) in the order of drawing
        members = np.empty((len(slots), self._batches), dtype=np.int64)
        taken = np.empty_like(members)  # identities, in the order of drawing
        for step, slot in enumerate(slots):
            number = self._slot_sets[slot]
            drawn = self._draw_images(number, self._set_sizes[number], rng, self._batches)
            member = self._member[drawn]  # (B,)
            again = np.flatnonzero((taken[:step] == self._keys[member] % self._num_identities).any(axis=0))
            member[again] = self._draw_other(number, taken[:step, again], rng)
            members[slot] = member
            taken[step] = self._keys[member] % self._num_identities
        return members

    def _draw_images(self, number: int, size: np.ndarray | int, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw places among the first ``size`` of a set; their members come by their number of images."""
        return self._set_begins[number] + (rng.random(count) * size).astype(np.int64)

    def _draw_other(self, number: int, taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw members of a set that are none of the identities ``taken`` ``(T, R)``, ``(R,)``."""
        keys = number * self._num_identities + np.sort(taken, axis=0)  # (T, R)
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        sizes = np.where(self._keys[found] == keys, self._counts[found], 0)  # 0: not in this set
        place = self._draw_images(number, self._set_sizes[number] - sizes.sum(axis=0), rng, taken.shape[1])  # (R,)
        for begin, size in zip(self._begins[found], sizes, strict=True):  # ascending: step over each stretch
            place += np.where(place >= begin, size, 0)
        return self._member[place]


def _check_weights(set_weight: Sequence[int], names: list[Any]) -> None:
    if len(set_weight) != len(names):
        shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
        raise ValueError(
            f"DATALOADER.SET_WEIGHT {list(set_weight)} has {len(set_weight)} weights, but the training set has "
            f"{len(names)} sets (camids): {shown}; give each a weight, in this order"
        )
    if any(weight != int(weight) or weight < 0 for weight in set_weight) or sum(set_weight) < 1:
        raise ValueError(
            f"DATALOADER.SET_WEIGHT must be numbers of identities, ints >= 0 and not all 0, got {list(set_weight)}"
        )


def _rounds(set_weight: Sequence[int], mini_batch_size: int, num_instances: int, *, world: int) -> int:
    """Return how many times the weights are in a global batch."""
    images = sum(set_weight) * num_instances
    if mini_batch_size % images:
        unit, total = images * world, mini_batch_size * world
        nearest = " or ".join(str(size) for size in (total // unit * unit, (total // unit + 1) * unit) if size > 0)
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {total} over {world} process(es) is {mini_batch_size} images each, which is no "
            f"multiple of the sum of DATALOADER.SET_WEIGHT {list(set_weight)} times NUM_INSTANCE {num_instances}, "
            f"{images}; use IMS_PER_BATCH {nearest}, or other weights"
        )
    return mini_batch_size * world // images


def _check_members(keys: np.ndarray, num_identities: int, wanted: np.ndarray, names: list[Any]) -> None:
    """Make sure that each set has identities enough, even if the sets before it have taken as many as they can."""
    drawn_before = np.zeros(num_identities, dtype=bool)
    for number, name in enumerate(names):
        if not wanted[number]:
            continue
        mine = keys[keys // num_identities == number] % num_identities  # identities of the set
        taken = min(int(drawn_before[mine].sum()), int(wanted[:number].sum()))
        if len(mine) - taken < wanted[number]:
            shared = f", of which other sets may take {taken}" if taken else ""
            raise ValueError(
                f"DATALOADER.SET_WEIGHT wants {wanted[number]} different identities of set {name} in a batch, but it "
                f"has {len(mine)}{shared}; lower its weight or SOLVER.IMS_PER_BATCH, or raise DATALOADER.NUM_INSTANCE"
            )
        drawn_before[mine] = True
