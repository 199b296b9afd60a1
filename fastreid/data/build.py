"""The two loaders: an endless one for training, and one that goes through a test set once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..config import CfgNode, configurable
from ..utils import comm
from ..utils.worker_signals import leave_signals_to_parent
from .cameras import camera_names, camera_places, places_in_test
from .collate import fast_batch_collator, trivial_batch_collator
from .common import CommDataset
from .datasets.build import dataset_labels, dataset_options, dataset_root
from .image_cache import build_image_cache
from .loader import NamingLoader
from .protocol import embedded_images
from .samplers import InferenceSampler, TrainingSampler, build_mixed_sampler, build_train_sampler
from .samplers.build import per_process_batch_size
from .staged_loader import StagedLoader
from .storage.dataset import open_dataset
from .transforms import build_transforms

__all__ = [
    "build_reid_test_loader",
    "build_reid_train_loader",
    "fast_batch_collator",
    "loader_options",
    "trivial_batch_collator",
    "wants_pinned_memory",
]

logger = logging.getLogger(__name__)


def _train_loader_from_config(
    cfg: CfgNode,
    *,
    train_set: Dataset | None = None,
    transforms: Callable | None = None,
    sampler: Sampler | None = None,
    num_workers: int | None = None,
    **dataset_options: Any,
) -> dict[str, Any]:
    _check_micro_batches(cfg)
    sets = None  # name and size of each, where they are known
    if train_set is None:
        logger.info("Prepare training set")
        items, sets, names = _train_items(cfg, dataset_options)
        _check_batch_fits(len(items), cfg.SOLVER.IMS_PER_BATCH, f"DATASETS.NAMES ({', '.join(cfg.DATASETS.NAMES)})")
        transforms = build_transforms(cfg) if transforms is None else transforms
        cache = build_image_cache(cfg, [item[0] for item in items], transforms)
        cameras = camera_places(cfg, names, training=True)
        train_set = CommDataset(items, transforms, relabel=True, cache=cache, cameras=cameras)
    else:
        _warn_of_unused("train_set", transforms, dataset_options)
        if cfg.DATALOADER.CACHE:
            logger.warning("train_set is given, so DATALOADER.CACHE is not used; give the data set itself a cache")
    return {
        "train_set": train_set,
        "sampler": _sampler_of_micro_batches(cfg, train_set, sets) if sampler is None else sampler,
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH // cfg.SOLVER.ACCUM_STEPS,
        "num_workers": cfg.DATALOADER.NUM_WORKERS if num_workers is None else num_workers,
        "pin_memory": wants_pinned_memory(cfg),
        "prefetch_factor": cfg.DATALOADER.PREFETCH_FACTOR,
    }


@configurable(from_config=_train_loader_from_config)
def build_reid_train_loader(
    train_set: Dataset,
    *,
    sampler: Sampler | None = None,
    total_batch_size: int,
    num_workers: int = 0,
    pin_memory: bool | None = None,
    prefetch_factor: int = 2,
) -> DataLoader:
    """Build the loader of training batches: endless, shuffled, every batch full, on the CPU.

    ``build_reid_train_loader(cfg)`` reads ``DATASETS``, ``INPUT``, ``DATALOADER``, ``SOLVER.IMS_PER_BATCH`` and
    ``SEED``; with ``SOLVER.ACCUM_STEPS`` its batches are the micro-batches. With ``train_set``, ``transforms``,
    ``sampler`` or ``num_workers`` it takes those instead, and passes other keywords to the data sets. Batches are
    dicts: ``images`` uint8 ``(N, 3, H, W)`` RGB, ``targets`` and ``camids`` int64 ``(N,)``, ``img_paths`` list of str,
    with ``N`` this process's part of the global batch. Making an iterator leaves the global random streams as they are.

    Args:
        train_set: the items, usually a ``CommDataset``.
        sampler: yields this process's indices without end; ``None`` means ``TrainingSampler``. It stays reachable
            as ``loader.batch_sampler.sampler``, for a resumed run to set ``start`` and ``seed`` before iterating.
        total_batch_size: images in the batches of all processes together.
        num_workers: processes that read images, at most one per core; 0 reads in this one.
        pin_memory: keep batches in page-locked memory, where a GPU fetches them faster; ``None``: if CUDA is there.
        prefetch_factor: batches that each worker process makes ahead, at least 1.

    Raises:
        ValueError: if the processes cannot share the batch equally, the set is smaller than one batch, or nothing is
            to be made ahead.
    """
    _check_batch_fits(len(train_set), total_batch_size, "the given set")
    if prefetch_factor < 1:
        raise ValueError(f"DATALOADER.PREFETCH_FACTOR must be at least 1 batch, got {prefetch_factor}")
    if sampler is None:
        sampler = TrainingSampler(len(train_set))
    batches = BatchSampler(sampler, per_process_batch_size(total_batch_size), drop_last=True)
    stages = getattr(train_set, "batch_stages", {})
    return (partial(StagedLoader, stages=stages) if stages else NamingLoader)(
        train_set,
        batch_sampler=batches,
        persistent_workers=num_workers > 0,
        prefetch_factor=prefetch_factor if num_workers > 0 else None,  # torch takes it with workers only
        **loader_options(num_workers, pin_memory, seed=getattr(sampler, "seed", None)),
    )


def _test_loader_from_config(
    cfg: CfgNode,
    dataset_name: str | None = None,
    *,
    test_set: Dataset | None = None,
    num_query: int = 0,
    transforms: Callable | None = None,
    num_workers: int | None = None,
    **dataset_options: Any,
) -> dict[str, Any]:
    if test_set is None:
        if dataset_name is None:
            raise ValueError("build_reid_test_loader(cfg) needs dataset_name=..., or test_set=... and num_query=...")
        logger.info("Prepare testing set")
        items, num_query, cameras = _test_items(cfg, dataset_name, dataset_options)
        transforms = build_transforms(cfg, is_train=False) if transforms is None else transforms
        test_set = CommDataset(items, transforms, relabel=False, cameras=cameras)
    else:
        _warn_of_unused("test_set", transforms, dataset_options)
    return {
        "test_set": test_set,
        "test_batch_size": cfg.TEST.IMS_PER_BATCH,
        "num_query": num_query,
        "num_workers": cfg.TEST.NUM_WORKERS if num_workers is None else num_workers,
        "pin_memory": wants_pinned_memory(cfg),
    }


@configurable(from_config=_test_loader_from_config)
def build_reid_test_loader(
    test_set: Dataset,
    test_batch_size: int,
    num_query: int,
    num_workers: int = 4,
    *,
    pin_memory: bool | None = None,
) -> tuple[DataLoader, int]:
    """Build the loader of a test set: the queries, then the gallery, in order, each image once over all processes.

    ``build_reid_test_loader(cfg, dataset_name="Market1501")`` reads ``DATASETS.ROOT``, ``INPUT``,
    ``TEST.IMS_PER_BATCH`` and ``TEST.NUM_WORKERS``; with ``test_set`` and ``num_query``, ``transforms`` or
    ``num_workers`` it takes those instead, and passes other keywords to the data set. The batches are as in training,
    except that ``targets`` and ``camids`` are the data set's own numbers.

    Args:
        test_set: the items, queries first.
        test_batch_size: images in the batches of all processes together; each takes an equal part, at least 1.
        num_query: number of queries; by ``TEST.PROTOCOL leave_one_out`` 0, and the images are in the set once.
        num_workers: processes that read images; 0 reads in this one.
        pin_memory: as in training.

    Returns:
        The loader and ``num_query``.

    Raises:
        ValueError: if the set is empty, or the batch size is not positive.
    """
    if len(test_set) == 0:
        raise ValueError("the test set is empty; give it at least one query image")
    if test_batch_size < 1:
        raise ValueError(f"TEST.IMS_PER_BATCH must be >= 1, got {test_batch_size}")
    mine = max(1, test_batch_size // comm.get_world_size())
    batches = BatchSampler(InferenceSampler(len(test_set)), mine, drop_last=False)
    return NamingLoader(test_set, batch_sampler=batches, **loader_options(num_workers, pin_memory, seed=0)), num_query


def _train_items(
    cfg: CfgNode, options: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], list[tuple[str, int]], list[str]]:
    """Concatenate the training items of all ``DATASETS.NAMES``.

    Returns:
        They, the name and size of each set, and the name of each item's camera; empty where it is not known.
    """
    if not cfg.DATASETS.NAMES:
        raise ValueError("DATASETS.NAMES is empty; name at least one data set to train on")
    if cfg.DATASETS.COMBINEALL:
        options = {"combineall": True, **options}
    items: list[tuple[Any, ...]] = []
    labels = dataset_labels(cfg.DATASETS.NAMES)
    owners: dict[Any, str] = {}
    sets: list[tuple[str, int]] = []
    cameras: list[str] = []
    for name in cfg.DATASETS.NAMES:
        data = _open(cfg, name, labels[name], options)
        if comm.is_main_process() and hasattr(data, "show_train"):
            data.show_train()
        if not data.train:
            raise ValueError(f"{name} has no training images, so it cannot be in DATASETS.NAMES; leave it out")
        _check_identities_are_its_own(name, {item[1] for item in data.train}, owners)
        items.extend(data.train)
        sets.append((name, len(data.train)))
        cameras.extend(camera_names(data, "train") if cfg.MODEL.BACKBONE.WITH_SIE else ())
    return items, sets, cameras


def _open(cfg: CfgNode, name: str, label: str, options: dict[str, Any]) -> Any:
    where = {"root": cfg.DATASETS.ROOT, "storage": cfg.DATASETS.STORAGE}
    return open_dataset(name, label=label, chosen=dataset_options(cfg.DATASETS.OPTIONS, name), **where, **options)


def _check_identities_are_its_own(name: str, pids: set[Any], owners: dict[Any, str]) -> None:
    """Raise if one's own images would share an identity with another set; registered sets may do so on purpose."""
    for pid in pids:
        owner = owners.setdefault(pid, name)
        if owner != name and ":" in owner + name:
            raise ValueError(
                f"DATASETS.NAMES: {owner!r} and {name!r} both have an identity {pid!r}, which is put together from the "
                "name of the file or folder and the identity; rename one of the files or folders"
            )


def _test_items(
    cfg: CfgNode, name: str, options: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], int, list[int] | None]:
    """Return queries and gallery of a data set in one list, the number of queries, and the places of the cameras."""
    label = dataset_labels(cfg.DATASETS.TESTS).get(name, "")
    data = _open(cfg, name, label, options)
    if comm.is_main_process() and hasattr(data, "show_test"):
        data.show_test()
    items, num_query = embedded_images(cfg.TEST.PROTOCOL, name, data.query, data.gallery)
    if ":" in name and name in cfg.DATASETS.NAMES and "train" in getattr(data, "stored_splits", ("train",)):
        _warn_of_training_images(name, data)
    return items, num_query, places_in_test(cfg, data, items)


def _warn_of_training_images(name: str, data: Any) -> None:
    trained_on = {item[0] for item in data.train}
    seen = sum(item[0] in trained_on for item in [*data.query, *data.gallery])
    if seen:
        logger.warning(
            "%s: %d test images are also trained on, so its numbers say nothing about new images; keep some identities "
            "out of training (split test, see docs/data.md)",
            name,
            seen,
        )


def _warn_of_unused(given: str, transforms: Callable | None, dataset_options: dict[str, Any]) -> None:
    unused = [*(["transforms"] if transforms is not None else []), *sorted(dataset_options)]
    if unused:
        logger.warning(
            "%s is given, so %s not used; give them to the data set itself", given, ", ".join(unused) + " are"
        )


def _check_micro_batches(cfg: CfgNode) -> None:
    total, steps, world = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUM_STEPS, comm.get_world_size()
    if steps < 1:
        raise ValueError(f"SOLVER.ACCUM_STEPS must be at least 1 (no accumulation), got {steps}")
    if steps > 1 and (total < 1 or total % (steps * world)):
        unit = steps * world
        nearest = " or ".join(str(size) for size in (total // unit * unit, (total // unit + 1) * unit) if size > 0)
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {total} images, which SOLVER.ACCUM_STEPS {steps} micro-batches on {world} "
            f"process(es) cannot share equally; use IMS_PER_BATCH {nearest}, or other ACCUM_STEPS"
        )


def _sampler_of_micro_batches(cfg: CfgNode, train_set: Dataset, sets: list[tuple[str, int]] | None) -> Sampler:
    """Build the sampler; with ``SOLVER.ACCUM_STEPS`` it is told the size of a micro-batch as ``IMS_PER_BATCH``."""
    total, steps = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUM_STEPS
    if steps > 1:
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.IMS_PER_BATCH = total // steps
    try:
        if cfg.DATASETS.SHARES:
            return build_mixed_sampler(cfg, train_set, sets)
        return build_train_sampler(cfg, train_set)
    except ValueError as error:
        if steps == 1:
            raise
        raise ValueError(
            f"SOLVER.ACCUM_STEPS {steps} makes micro-batches of {total // steps} of the SOLVER.IMS_PER_BATCH {total} "
            f"images, and such a micro-batch is what IMS_PER_BATCH means in the following: {error}"
        ) from error


def _check_batch_fits(num_images: int, total_batch_size: int, what: str) -> None:
    per_process_batch_size(total_batch_size)
    if num_images < total_batch_size:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {total_batch_size}, but {what} has only {num_images} training images, less than "
            "one batch; lower IMS_PER_BATCH, or train on more data"
        )


def wants_pinned_memory(cfg: CfgNode) -> bool:
    """Tell whether batches go to a GPU."""
    # Pinning alone would set up a context on the GPU, which a run on the CPU has no use for.
    return torch.cuda.is_available() and cfg.MODEL.DEVICE != "cpu"


def loader_options(num_workers: int, pin_memory: bool | None, *, seed: int | None) -> dict[str, Any]:
    """Return what all loaders tell torch's.

    The generator is the loader's own, because torch draws the workers' seeds from the global stream otherwise.
    """
    if num_workers < 0:
        raise ValueError(
            "DATALOADER.NUM_WORKERS and TEST.NUM_WORKERS must be >= 0 processes (0: none of their own), "
            f"got {num_workers}"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_workers > cores:  # a recipe's number is for a larger machine; items do not depend on it
        logger.info("%d worker processes are asked for, but there are %d cores: taking %d", num_workers, cores, cores)
        num_workers = cores
    generator = torch.Generator()
    # Only items without a StreamIndex see this seed: the ranks must not draw the same ones.
    generator.manual_seed((torch.initial_seed() if seed is None else seed) % 2**62 + comm.get_rank())
    return {
        "num_workers": num_workers,
        "collate_fn": fast_batch_collator,
        "worker_init_fn": _start_worker,
        "pin_memory": torch.cuda.is_available() if pin_memory is None else pin_memory,
        "generator": generator,
    }


def _start_worker(worker_id: int) -> None:
    _use_one_thread(worker_id)
    leave_signals_to_parent()


def _use_one_thread(worker_id: int) -> None:
    """Keep a worker to one thread: the workers fill the cores by themselves, and OpenCV's may hang after a fork."""
    torch.set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)


def __getattr__(name: str) -> str:
    if name == "_root":  # v1.3 read it at import
        return dataset_root()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
