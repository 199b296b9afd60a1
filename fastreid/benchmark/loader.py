from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

from ..config import CfgNode, get_cfg, get_config_file
from ..data import build_reid_train_loader
from ..data.common import CommDataset
from ..data.transforms import build_transforms
from .images import write_images
from .meters import PeakMemory, seconds

__all__ = ["measure", "plain_loader"]


def measure(
    *, plain: bool, config_file: str, opts: Sequence[str], images: int, batch: int, workers: int
) -> dict[str, float]:
    """Measure how many training images per second are read, augmented and put into batches.

    Args:
        plain: False: the library's loader. True: :func:`plain_loader`, for comparison.
        config_file: recipe whose ``INPUT`` and sampler are used.
        opts: ``KEY VALUE`` pairs on top of it.
        images: number of images read in the timed part, a multiple of ``batch``.
        batch: images in a batch.
        workers: processes that read; 0: this one.

    Returns:
        ``images_per_second``, ``seconds`` per batch and ``peak_memory_mib`` of this process, without its workers. The
        first batch, which waits for the workers to start, is not timed.
    """
    if images < batch or images % batch:
        raise ValueError(f"images must be a multiple of batch ({batch}), got {images}")
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_file))
    cfg.merge_from_list([*opts, "SOLVER.IMS_PER_BATCH", batch, "DATALOADER.NUM_WORKERS", workers, "SEED", 0])
    with tempfile.TemporaryDirectory() as folder:
        items = write_images(Path(folder), images, identities=max(2, images // 8))
        if plain:
            loader = plain_loader(Path(folder), cfg, batch, workers)
        else:
            loader = build_reid_train_loader(cfg, train_set=CommDataset(items, build_transforms(cfg)))
        rounds = images // batch
        with PeakMemory() as memory:
            elapsed = _read(loader, rounds)
        del loader  # its workers end before their files go
    return {"seconds": elapsed / rounds, "images_per_second": images / elapsed, "peak_memory_mib": memory.mib}


def _read(loader: DataLoader, rounds: int) -> float:
    batches = iter(loader)
    next(batches)
    return seconds(lambda: [None for _ in islice(batches, rounds)])


def plain_loader(folder: Path, cfg: CfgNode, batch: int, workers: int) -> DataLoader:
    """Return what one would write without the library: PIL, classic torchvision transforms, batches of floats.

    Resize, flip, padded crop, normalisation and erasing, as in the Bag of Tricks; two epochs, so that it does not end
    while it is timed.
    """
    size = list(cfg.INPUT.SIZE_TRAIN)
    steps = [
        T.Resize(size, interpolation=T.InterpolationMode.BICUBIC),
        T.RandomHorizontalFlip(cfg.INPUT.FLIP.PROB),
        T.Pad(cfg.INPUT.PADDING.SIZE),
        T.RandomCrop(size),
        T.ToTensor(),
        T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        T.RandomErasing(cfg.INPUT.REA.PROB, scale=(0.02, 0.4)),
    ]
    images = ImageFolder(str(folder), T.Compose(steps))
    twice = [*range(len(images)), *range(len(images))]
    return DataLoader(images, batch_size=batch, sampler=twice, num_workers=workers)
