from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

from ...config import CfgNode
from .build import SAMPLER_REGISTRY, build_train_sampler, per_process_batch_size, stream_seed
from .draws import shuffle_within
from .identity_base import IdentitySampler, check_groups_fit
from .imbalanced_sampler import ImbalancedDatasetSampler
from .shares import deal_places, most_places, set_shares, share_edges
from .stream import StreamSampler
from .training_sampler import TrainingSampler

if TYPE_CHECKING:
    from ..common import CommDataset

__all__ = ["MixedSampler", "build_mixed_sampler"]

logger = logging.getLogger(__name__)


class MixedSampler(StreamSampler):
    """Give each of several data sets its share of every batch, with one sampler for each of them.

    The places of a global batch are groups of ``K`` images of one identity, or single images. A set gets its part of
    the batch rounded down or up, and its share in the long run; groups stay whole. For batch ``b`` each sampler makes
    its ``b``-th batch of as many places as its set may get, and what is too much is left out. The places of a batch are
    in random order. So the stream is a function of the seed and the position, on any number of ranks.

    Args:
        samplers: one of each set, that makes batches of ``most`` places; their seeds follow this sampler's.
        sizes: images of each set, in the order of the data set.
        edges: ``(S + 1,)`` from ``share_edges``: the shares of a batch.
        num_instances: ``K``, images in one place.
        share: images in a row for one rank, a multiple of ``num_instances``.
        seed: at least 0; ``None`` draws one that is the same on every rank.
    """

    def __init__(
        self,
        samplers: Sequence[StreamSampler],
        sizes: Sequence[int],
        edges: np.ndarray,
        *,
        num_instances: int,
        share: int,
        seed: int | None,
    ) -> None:
        super().__init__(share=share, seed=seed)
        self._samplers = samplers
        self._begins = np.cumsum(sizes) - sizes  # (S,) index of each set's first image
        self._edges = edges
        self._num_instances = num_instances
        images = sum(most_places(edges[[0, -1]])) * num_instances  # in a global batch
        self._batches = max(1, sum(sizes) // images)  # in a pass
        self._length = self._batches * images

    def pass_length(self, number: int) -> int:
        """Return the number of images in a pass: as many whole batches as all sets have images for, at least one."""
        return self._length

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the images of pass ``number``, batch after batch, ``(pass_length(number),)`` int64."""
        first = number * self._batches
        counts = deal_places(self._edges, first + np.arange(self._batches))  # (B, S)
        groups, batches = [], []
        for place, (sampler, most) in enumerate(zip(self._samplers, most_places(self._edges), strict=True)):
            sampler.seed = self.seed * len(self._samplers) + place
            images = most * self._num_instances  # in a batch of this set's sampler
            made = sampler.stretch(first * images, self._batches * images)
            wanted = np.arange(most) < counts[:, place, None]  # (B, most)
            groups.append(made.reshape(self._batches, most, -1)[wanted] + self._begins[place])  # (., K)
            batches.append(np.nonzero(wanted)[0])
        # The 1 keeps this stream apart from that of the item at position ``number``.
        order = shuffle_within(np.concatenate(batches), np.random.default_rng((self.seed, number, 1)))
        return np.concatenate(groups)[order].reshape(-1)


def build_mixed_sampler(cfg: CfgNode, dataset: CommDataset, sets: Sequence[tuple[str, int]] | None) -> Sampler:
    """Build the sampler that ``DATALOADER.SAMPLER_TRAIN`` names, so that each training set has its share of batches.

    Reads ``DATASETS.SHARES`` and ``.SHARES_POWER``, ``SOLVER.IMS_PER_BATCH``, ``DATALOADER.NUM_INSTANCE``, ``SEED``.
    The sampler must be one of single images (``TrainingSampler``, ``ImbalancedDatasetSampler``) or an
    ``IdentitySampler``.

    Args:
        cfg: the config.
        dataset: the items of all sets, one set after the other.
        sets: name and number of items of each set; ``None`` if they are not known.

    Raises:
        ValueError: if the sets are not known, the sampler composes batches in another way, or for an
            ``IdentitySampler`` if sets share identities or one has too few for its share.
    """
    mode, name = cfg.DATASETS.SHARES, cfg.DATALOADER.SAMPLER_TRAIN
    if sets is None:
        raise ValueError(
            f"DATASETS.SHARES is {mode!r}, but a training set that is given ready-made does not tell its sets; "
            "give a sampler with it, or leave DATASETS.SHARES empty"
        )
    sizes = [size for _, size in sets]
    shares = set_shares(mode, sizes, cfg.DATASETS.SHARES_POWER)
    if len(sets) == 1:
        return build_train_sampler(cfg, dataset)
    parts = []
    for begin, size in zip(np.cumsum([0, *sizes]).tolist(), sizes):
        parts.append(copy.copy(dataset))
        parts[-1].img_items = dataset.img_items[begin : begin + size]
    mine = per_process_batch_size(cfg.SOLVER.IMS_PER_BATCH)
    sampler_class = SAMPLER_REGISTRY.get(name)
    if issubclass(sampler_class, IdentitySampler):
        k, share, what = cfg.DATALOADER.NUM_INSTANCE, mine, "identities"
        num_identities = [len({item[1] for item in part.img_items}) for part in parts]
        check_groups_fit(mine, k, num_identities=sum(num_identities), world=cfg.SOLVER.IMS_PER_BATCH // mine)
        edges = share_edges(shares, cfg.SOLVER.IMS_PER_BATCH // k)
        _check_identities(cfg, sets, num_identities, edges, different=dataset.num_classes)
        options = [{"mini_batch_size": most * k, "world": 1} for most in most_places(edges)]
    elif issubclass(sampler_class, (TrainingSampler, ImbalancedDatasetSampler)):
        k, share, what = 1, 1, "images"
        edges = share_edges(shares, cfg.SOLVER.IMS_PER_BATCH)
        options = [{} for _ in parts]
    else:
        raise ValueError(
            f"DATASETS.SHARES {mode!r} cannot be had with {name}, which composes batches in its own way; "
            "leave SHARES empty, or use TrainingSampler or one of the identity samplers"
        )
    samplers = [sampler_class(cfg, dataset=part, seed=0, **more) for part, more in zip(parts, options)]
    places = cfg.SOLVER.IMS_PER_BATCH // k
    told = ", ".join(f"{one} {100 * part:.1f}% ({part * places:.2f})" for (one, _), part in zip(sets, shares))
    logger.info(
        "Using training sampler %s; DATASETS.SHARES %s of the %d %s of a batch: %s", name, mode, places, what, told
    )
    return MixedSampler(samplers, sizes, edges, num_instances=k, share=share, seed=stream_seed(cfg))


def _check_identities(
    cfg: CfgNode,
    sets: Sequence[tuple[str, int]],
    num_identities: Sequence[int],
    edges: np.ndarray,
    *,
    different: int,
) -> None:
    mode, places = cfg.DATASETS.SHARES, cfg.SOLVER.IMS_PER_BATCH // cfg.DATALOADER.NUM_INSTANCE
    if sum(num_identities) != different:
        raise ValueError(
            f"DATASETS.SHARES {mode!r} needs sets with identities of their own, but "
            f"{sum(num_identities) - different} are in several of DATASETS.NAMES {list(cfg.DATASETS.NAMES)}; "
            "name each set once, or leave SHARES empty"
        )
    for (name, _), there, most in zip(sets, num_identities, most_places(edges), strict=True):
        if there < most:
            raise ValueError(
                f"DATASETS.SHARES {mode!r} gives {name} up to {most} of the {places} identities of a batch, but it has "
                f"{there}; use another SHARES, lower SOLVER.IMS_PER_BATCH, or raise DATALOADER.NUM_INSTANCE"
            )
