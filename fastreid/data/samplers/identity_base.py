"""What the samplers of ``P`` identities times ``K`` images have in common."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import CfgNode, configurable
from ...utils import comm
from .build import per_process_batch_size, stream_seed
from .draws import number_labels
from .stream import StreamSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["IdentitySampler", "check_groups_fit"]


class IdentitySampler(StreamSampler):
    """Fill every global batch with ``P`` different identities and ``K`` images of each; the base class.

    In one pass every identity gives one group of ``K`` images, which a subclass draws. They are put in random order and
    cut into batches of ``P``; the rest below ``P`` is left out. Each rank gets whole identities. The global batches do
    not depend on the number of ranks.

    Args:
        data_source: the training items ``(img_path, pid, camid)``.
        mini_batch_size: images in the batch of one process, a multiple of ``num_instances``.
        num_instances: ``K``, images of each identity in a batch, at least 1.
        seed: at least 0; ``None`` draws one that is the same on every rank.
        world: number of processes that share a batch; ``None``: all there are.

    Attributes:
        num_instances: the argument.
        identities_per_batch: ``P``, over all processes.

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
        *,
        world: int | None = None,
    ) -> None:
        world = comm.get_world_size() if world is None else world
        identity = number_labels(map(operator.itemgetter(1), data_source))  # (N,)
        counts = np.bincount(identity)  # (I,)
        check_groups_fit(mini_batch_size, num_instances, num_identities=len(counts), world=world)
        super().__init__(share=mini_batch_size, seed=seed)
        self.num_instances = num_instances
        self.identities_per_batch = mini_batch_size * world // num_instances
        self._num_identities = len(counts)
        self.lay_out(identity, counts, data_source)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, dataset: CommDataset) -> dict[str, Any]:
        """Read ``DATALOADER.NUM_INSTANCE`` (``K``), ``SOLVER.IMS_PER_BATCH`` (over all processes) and ``SEED``."""
        return {
            "data_source": dataset.img_items,
            "mini_batch_size": per_process_batch_size(cfg.SOLVER.IMS_PER_BATCH),
            "num_instances": cfg.DATALOADER.NUM_INSTANCE,
            "seed": stream_seed(cfg),
        }

    def lay_out(self, identity: np.ndarray, counts: np.ndarray, data_source: Sequence[tuple[Any, ...]]) -> None:
        """Prepare what is the same in all passes.

        Args:
            identity: ``(N,)`` int64, each image's identity, below ``I``.
            counts: ``(I,)`` int64, images of each identity.
            data_source: the items.
        """
        raise NotImplementedError

    def draw_groups(self, rng: np.random.Generator) -> np.ndarray:
        """Return a group of each identity for one pass, ``(I, K)`` int64."""
        raise NotImplementedError

    def pass_length(self, number: int) -> int:
        """Return the number of images in a pass, a multiple of the global batch size."""
        return (self._num_identities - self._num_identities % self.identities_per_batch) * self.num_instances

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        # The 1 keeps this stream apart from that of the item at position ``number``.
        rng = np.random.default_rng((self.seed, number, 1))
        order = rng.permutation(self._num_identities)[: self.pass_length(number) // self.num_instances]
        return self.draw_groups(rng)[order].reshape(-1)


def check_groups_fit(mini_batch_size: int, num_instances: int, *, num_identities: int, world: int) -> None:
    """Make sure that batches of ``P`` different identities times ``K`` images can be filled.

    Raises:
        ValueError: naming the keys and what would do.
    """
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
