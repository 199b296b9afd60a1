"""The registry of training samplers, and what they read from the config in common."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from torch.utils.data import Sampler

from ...config import CfgNode
from ...utils import comm
from ...utils.registry import Registry

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["SAMPLER_REGISTRY", "build_train_sampler", "per_process_batch_size", "stream_seed"]

logger = logging.getLogger(__name__)

SAMPLER_REGISTRY = Registry("SAMPLER")
"""Training samplers, by the name in ``DATALOADER.SAMPLER_TRAIN``.

Called as ``Cls(cfg, dataset=train_set)`` with the ``CommDataset`` to draw from (``@configurable`` with
``from_config(cls, cfg, *, dataset)``). Yields dataset indices without end, this process's share of each global batch
(with ``SOLVER.ACCUM_STEPS`` of each micro-batch: ``cfg.SOLVER.IMS_PER_BATCH`` is then its size); best a
``StreamSampler``, whose ``start`` and ``seed`` make a resumed run exact.
"""


def build_train_sampler(cfg: CfgNode, dataset: CommDataset) -> Sampler:
    """Build the sampler that ``DATALOADER.SAMPLER_TRAIN`` names for a training set."""
    name = cfg.DATALOADER.SAMPLER_TRAIN
    logger.info("Using training sampler %s", name)
    return SAMPLER_REGISTRY.get(name)(cfg, dataset=dataset)


def per_process_batch_size(total: int) -> int:
    """Return one process's part of a training batch of ``total`` images.

    Raises:
        ValueError: if the processes cannot share it equally.
    """
    world = comm.get_world_size()
    if total < 1 or total % world:
        below = total // world * world
        nearest = " or ".join(str(size) for size in (below, below + world) if size > 0)
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {total} images for all processes together, which {world} process(es) cannot "
            f"share equally; use {nearest}"
        )
    return total // world


def stream_seed(cfg: CfgNode) -> int | None:
    """Return the seed of the sample stream: ``SEED``, or ``None`` (draw one) where the run is not seeded."""
    return cfg.SEED if cfg.SEED >= 0 else None
