from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import CfgNode, configurable
from ...utils import comm
from .build import SAMPLER_REGISTRY, per_process_batch_size, stream_seed
from .stream import StreamSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["NaiveIdentitySampler"]


@SAMPLER_REGISTRY.register()
class NaiveIdentitySampler(StreamSampler):
    """Fill every global batch with ``P`` different identities and ``K`` images of each, for metric losses.

    In one pass each identity's images are shuffled and cut into groups of ``K`` (a rest below ``K`` waits for the
    next pass; an identity with fewer than ``K`` images gives one group, drawn with replacement). Each batch takes the
    next group of ``P`` identities, chosen at random among those that have one left; the pass ends when fewer than ``P``
    have. Each rank gets whole identities. The global batches do not depend on the number of ranks.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", arXiv:1703.07737, section 2.

    Args:
        data_source: the training items ``(img_path, pid, camid)``.
        mini_batch_size: images in the batch of one process, a multiple of ``num_instances``.
        num_instances: ``K``, images of each identity in a batch, at least 1.
        seed: at least 0; ``None`` draws one that is the same on every rank.

    Raises:
        ValueError: if the batch cannot be cut into groups of ``K``, or there are too few identities to fill one.
    """

    @configurable
    def __init__(
        self,
        data_source: Sequence[tuple[Any, ...]],
        mini_batch_size: int,
        num_instances: int,
        seed: int | None = None,
    ) -> None:
        pids = [item[1] for item in data_source]
        world = comm.get_world_size()
        _check_fit(mini_batch_size, num_instances, num_identities=len(set(pids)), world=world)
        super().__init__(share=mini_batch_size, seed=seed)
        self._num_instances = num_instances
        self._identities_per_batch = mini_batch_size * world // num_instances
        self._identity, self._counts = _identities(pids)  # (N,), (I,)
        self._lay_out_groups()

    @classmethod
    def from_config(cls, cfg: CfgNode, *, dataset: CommDataset) -> dict[str, Any]:
        """Read ``DATALOADER.NUM_INSTANCE`` (``K``), ``SOLVER.IMS_PER_BATCH`` (over all processes) and ``SEED``."""
        return {
            "data_source": dataset.img_items,
            "mini_batch_size": per_process_batch_size(cfg.SOLVER.IMS_PER_BATCH),
            "num_instances": cfg.DATALOADER.NUM_INSTANCE,
            "seed": stream_seed(cfg),
        }

    def _lay_out_groups(self) -> None:
        """Say once for all passes which places of the images, sorted by identity, make which group."""
        k, counts = self._num_instances, self._counts
        groups = np.maximum(counts // k, 1)  # (I,) groups of each identity
        self._group_ends = np.cumsum(groups)  # (I,)
        self._group_begins = self._group_ends - groups  # (I,)
        owner = np.repeat(np.arange(len(counts)), groups)  # (G,) identity of each group
        nth = np.arange(len(owner)) - self._group_begins[owner]  # (G,) its number within the identity
        begins = np.cumsum(counts) - counts  # (I,) place of each identity's first image
        # In the groups drawn with replacement, each pass puts other places.
        self._places = (begins[owner] + nth * k)[:, None] + np.arange(k)  # (G, K)
        self._scarce = np.flatnonzero(counts[owner] < k)  # (S,) groups of identities with too few images
        self._scarce_begins = begins[owner[self._scarce], None]  # (S, 1)
        self._scarce_counts = counts[owner[self._scarce], None]  # (S, 1)

    def pass_length(self, number: int) -> int:
        """Return the number of images in pass ``number``, a multiple of the global batch size."""
        return len(self._group_order(number)) * self._num_instances

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        rng = np.random.default_rng((self.seed, number, 2))
        shuffled = rng.permutation(len(self._identity))  # (N,)
        by_identity = shuffled[np.argsort(self._identity[shuffled], kind="stable")]  # (N,)
        places = self._places.copy()
        places[self._scarce] = self._scarce_begins + rng.integers(
            self._scarce_counts, size=(len(self._scarce), self._num_instances)
        )
        return by_identity[places[self._group_order(number)]].reshape(-1)

    def _group_order(self, number: int) -> list[int]:
        """Draw the groups of one pass, batch after batch.

        A batch is a partial Fisher-Yates shuffle: the chosen identities move to the end of the list of those with
        groups left. Plain lists, because a numpy call per batch would cost ten times as much.
        """
        order: list[int] = []
        draws = np.random.default_rng((self.seed, number, 1)).random(len(self._places)).tolist()
        upcoming, ends = self._group_begins.tolist(), self._group_ends.tolist()
        alive = list(range(len(ends)))  # identities with a group left
        while len(alive) >= self._identities_per_batch:
            rest = len(alive)  # those not yet chosen for this batch are in front
            for draw in draws[len(order) : len(order) + self._identities_per_batch]:
                slot = int(draw * rest)
                rest -= 1
                identity = alive[slot]
                alive[slot], alive[rest] = alive[rest], identity
                order.append(upcoming[identity])
                upcoming[identity] += 1
            alive[rest:] = [identity for identity in alive[rest:] if upcoming[identity] < ends[identity]]
        return order


def _identities(pids: list[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """Number the identities by first appearance; return each image's, ``(N,)``, and their image counts, ``(I,)``."""
    numbers: dict[Hashable, int] = {}
    identity = np.array([numbers.setdefault(pid, len(numbers)) for pid in pids], dtype=np.int64)
    return identity, np.bincount(identity)


def _check_fit(mini_batch_size: int, num_instances: int, *, num_identities: int, world: int) -> None:
    if num_instances < 1:
        raise ValueError(f"DATALOADER.NUM_INSTANCE must be >= 1, got {num_instances}")
    total = mini_batch_size * world
    batch = f"SOLVER.IMS_PER_BATCH {total} over {world} process(es) is {mini_batch_size} images each"
    if mini_batch_size < 1 or mini_batch_size % num_instances:
        unit = world * num_instances
        nearest = " or ".join(str(size) for size in (total // unit * unit, (total // unit + 1) * unit) if size > 0)
        raise ValueError(
            f"{batch}, which is no multiple of DATALOADER.NUM_INSTANCE {num_instances}; "
            f"use IMS_PER_BATCH {nearest}, or another NUM_INSTANCE"
        )
    wanted = total // num_instances
    if num_identities < wanted:
        most = num_identities // world * world * num_instances
        remedy = f"IMS_PER_BATCH to at most {most}" if most else "the number of processes"
        raise ValueError(
            f"{batch}, and with DATALOADER.NUM_INSTANCE {num_instances} a batch needs {wanted} different identities, "
            f"but the training set has {num_identities}; lower {remedy}, or raise NUM_INSTANCE"
        )
