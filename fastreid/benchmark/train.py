from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..config import CfgNode, get_cfg, get_config_file
from ..data import build_reid_train_loader
from ..data.common import CommDataset
from ..data.transforms import build_transforms
from ..engine import DefaultTrainer, HookBase
from .images import write_images
from .meters import PeakMemory, synchronize

__all__ = ["measure"]

_WARM_UP = 1  # steps that are not timed
_IDENTITIES = 751  # classes, as in Market-1501


def measure(
    *, config_file: str, opts: Sequence[str], batch: int, steps: int, from_files: bool = False, workers: int = 1
) -> dict[str, float]:
    """Measure training steps of ``DefaultTrainer`` from untrained weights: forward, backward, optimizer.

    Args:
        config_file: recipe of model, losses and optimizer.
        opts: ``KEY VALUE`` pairs on top of it.
        batch: images in a step.
        steps: timed steps; one more before them is not timed.
        from_files: False: random pixels, always the same batch. True: JPEGs that the loader reads meanwhile.
        workers: processes of that loader.

    Returns:
        ``seconds`` per step, ``images_per_second``, ``waiting_percent`` (share of the time in which a step waited for
        its batch) and ``peak_memory_mib`` above the model, the first step included.
    """
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_file))
    own = {
        "DATALOADER.NUM_WORKERS": workers,
        "MODEL.BACKBONE.PRETRAIN": False,
        "MODEL.HEADS.NUM_CLASSES": _IDENTITIES,
        "OUTPUT_DIR": "",
        "SEED": 0,
        "SOLVER.IMS_PER_BATCH": batch,
        "SOLVER.MAX_EPOCH": 1,
    }
    cfg.merge_from_list([*opts, *(part for pair in own.items() for part in pair)])
    with tempfile.TemporaryDirectory() as folder:
        count = batch * (_WARM_UP + steps)
        loader = _file_batches(cfg, Path(folder), count) if from_files else _RandomBatches(cfg, count)
        trainer = _Trainer(cfg, loader)
        device = next(trainer.model.parameters()).device
        with PeakMemory(device) as memory:
            trainer.train()
    elapsed = trainer.clock.seconds / steps
    return {
        "seconds": elapsed,
        "images_per_second": batch / elapsed,
        "waiting_percent": 100 * trainer.clock.waited / trainer.clock.seconds,
        "peak_memory_mib": memory.mib,
    }


class _Clock(HookBase):
    """Add up the time of the steps after the warm-up, and how much of it was waiting for a batch."""

    def __init__(self) -> None:
        self.seconds = self.waited = 0.0

    def before_step(self) -> None:
        synchronize(self._device())
        self._start = time.perf_counter()

    def after_step(self) -> None:
        synchronize(self._device())
        if self.trainer.iter >= _WARM_UP:
            self.seconds += time.perf_counter() - self._start
            self.waited += float(self.trainer.storage.latest()["data_time"][0])

    def _device(self) -> torch.device:
        return next(self.trainer.model.parameters()).device


class _Trainer(DefaultTrainer):
    """The trainer of the config with another loader and no hook but the clock."""

    def __init__(self, cfg: CfgNode, loader: Any) -> None:
        self._given, self.clock = loader, _Clock()
        super().__init__(cfg)

    def build_train_loader(self, cfg: CfgNode) -> Any:
        return self._given

    def build_hooks(self) -> list[HookBase]:
        return [self.clock]


class _RandomBatches:
    """One batch of random pixels without end, with what the trainer asks of a loader."""

    batch_sampler = None

    def __init__(self, cfg: CfgNode, count: int) -> None:
        batch, instances = cfg.SOLVER.IMS_PER_BATCH // cfg.SOLVER.ACCUM_STEPS, cfg.DATALOADER.NUM_INSTANCE
        self.dataset = _Length(count)
        self._batch = {
            "images": torch.randint(256, (batch, 3, *cfg.INPUT.SIZE_TRAIN), dtype=torch.uint8),
            "targets": torch.arange(batch) // instances % _IDENTITIES,
            "camids": torch.arange(batch) % 2,
            "img_paths": [""] * batch,
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield dict(self._batch)


class _Length:
    """What the trainer asks of a data set."""

    num_classes = _IDENTITIES

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def _file_batches(cfg: CfgNode, folder: Path, count: int) -> Any:
    identities = max(2, count // max(2, cfg.DATALOADER.NUM_INSTANCE))
    items = write_images(folder, count, identities=min(identities, _IDENTITIES))
    return build_reid_train_loader(cfg, train_set=CommDataset(items, build_transforms(cfg)))
