from __future__ import annotations

import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ..config import CfgNode, get_cfg, get_config_file
from ..data import build_reid_train_loader
from ..data.common import CommDataset
from ..data.storage import Contents, Storage, open_storage, write_storage
from ..data.storage.page_cache import drop_pages, is_cached
from ..data.stored_path import image_bytes
from ..data.transforms import build_transforms
from .images import write_images
from .meters import seconds

__all__ = ["measure"]

_LOOKS = 100  # images that are looked up in memory before a cold round
_LEFT = 0.1  # share of them that may still be there

Items = Sequence[tuple[str, int, int]]


def measure(
    *,
    kind: str,
    config_file: str,
    opts: Sequence[str],
    images: int,
    batch: int,
    workers: int,
    cold: bool = False,
    decode: bool = True,
    rounds: int = 3,
) -> dict[str, float]:
    """Measure how many training images per second come from a storage, and from files in turns with it.

    Args:
        kind: of the storage, ``packed`` or ``tar``.
        config_file: recipe whose ``INPUT`` and sampler are used.
        opts: ``KEY VALUE`` pairs on top of it.
        images: number of JPEGs; a multiple of ``batch``, and more than one batch.
        batch: images in a batch.
        workers: processes that read; 0: this one.
        cold: let the system forget files and storage before each round, so that the disk is read.
        decode: False: only the bytes of the images are read, in a random order, in this process.
        rounds: measurements of each.

    Returns:
        ``images_per_second`` from the storage and ``files_per_second``, medians; ``files_ratio``, the median over the
        rounds of the first divided by the second. The first batch of a loader is not timed.

    Raises:
        RuntimeError: if the system does not forget files, as in a folder in memory.
    """
    if images <= batch or images % batch:
        raise ValueError(f"images must be a multiple of batch ({batch}) above it, got {images}")
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_file))
    cfg.merge_from_list([*opts, "SOLVER.IMS_PER_BATCH", batch, "DATALOADER.NUM_WORKERS", workers, "SEED", 0])
    with tempfile.TemporaryDirectory() as folder:
        items = write_images(Path(folder, "files"), images, identities=max(2, images // 8))
        place = str(Path(folder, "storage"))
        write_storage(Contents("benchmark", {"train": items}, {}), place, kind=kind, root=folder)
        storage = open_storage(place)
        stored = [(path, *item[1:]) for path, item in zip(storage.paths(folder), items, strict=True)]
        if cold:
            os.sync()  # the system forgets only what is on disk

        def one(of: Items) -> float:
            if cold:
                _forget(items, storage)
            return _read_files(of) if not decode else _load(cfg, of, images // batch - 1)

        one(items), one(stored)  # whatever is slow the first time
        speeds = [(one(items), one(stored)) for _ in range(rounds)]
    return {
        "images_per_second": statistics.median(other for _, other in speeds),
        "files_per_second": statistics.median(files for files, _ in speeds),
        "files_ratio": statistics.median(other / files for files, other in speeds),
    }


def _load(cfg: CfgNode, items: Items, batches: int) -> float:
    """Return the images per second of a training loader, its first batch left out."""
    loader = build_reid_train_loader(cfg, train_set=CommDataset(items, build_transforms(cfg)))
    arriving = iter(loader)
    next(arriving)
    return batches * cfg.SOLVER.IMS_PER_BATCH / seconds(lambda: [None for _ in islice(arriving, batches)])


def _read_files(items: Items) -> float:
    """Return the images per second whose bytes are read."""
    paths = [item[0] for item in items]
    random.Random(0).shuffle(paths)
    return len(paths) / seconds(lambda: [None for path in paths if image_bytes(path) is None])


def _forget(items: Items, storage: Storage) -> None:
    """Let the system forget the files and the storage, and look whether it has."""
    for path in [item[0] for item in items] + [file.path for file in storage.store.files]:
        drop_pages(path)
    chosen = random.Random(1).sample(range(len(items)), min(_LOOKS, len(items)))
    files = [file.path for file in storage.store.files]
    looks = [is_cached(items[number][0]) for number in chosen]
    looks += [is_cached(files[storage.index.container[n]], int(storage.index.offset[n])) for n in chosen]
    left = sum(look is not False for look in looks) / len(looks)
    if left > _LEFT:
        raise RuntimeError(
            f"{100 * left:.0f} % of what was to be read from the disk is still in memory, or the system does not tell; "
            "set TMPDIR to a folder on a disk, on Linux"
        )
