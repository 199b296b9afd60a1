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
from ..data.prefetch import move_batch
from ..data.transforms import build_transforms
from ..engine import DefaultTrainer, HookBase
from ..engine.amp import resolve_amp_dtype
from ..modeling import build_model
from ..solver import build_optimizer
from ..utils.events import EventStorage
from .images import write_images
from .meters import PeakMemory, seconds, synchronize

__all__ = ["measure"]

_IDENTITIES = 751  # classes, as in Market-1501


def measure(
    *,
    config_file: str,
    opts: Sequence[str],
    batch: int,
    steps: int,
    from_files: bool = False,
    bare: bool = False,
    workers: int = 1,
    warm_up: int = 1,
) -> dict[str, float]:
    """Measure training steps from untrained weights: forward, backward, optimizer.

    The device is waited for before the first timed step and after the last one, not in between.

    Args:
        config_file: recipe of model, losses and optimizer.
        opts: ``KEY VALUE`` pairs on top of it.
        batch: images in a step.
        steps: timed steps.
        from_files: False: random pixels, always the same batch. True: JPEGs that the loader reads meanwhile.
        bare: False: ``DefaultTrainer`` without hooks. True: the same model, precision and optimizer in a plain loop,
            with a batch that is on the device already.
        workers: processes of the loader.
        warm_up: steps before the timed ones, at least 1.

    Returns:
        ``seconds`` per step, ``images_per_second``, ``waiting_percent`` (share of the time in which a step waited for
        its batch; none in the plain loop) and ``peak_memory_mib`` above the model, the first step included.

    Raises:
        ValueError: if a plain loop is to read files, or there is no warm-up.
    """
    if bare and from_files:
        raise ValueError("bare excludes from_files: a bare loop has its batch on the device")
    if warm_up < 1:
        raise ValueError(f"warm_up must be at least 1 step, got {warm_up}")
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
    if bare:
        elapsed, memory = _bare_loop(cfg, warm_up, steps)
        waited = 0.0
    else:
        with tempfile.TemporaryDirectory() as folder:
            count = batch * (warm_up + steps)
            loader = _file_batches(cfg, Path(folder), count) if from_files else _RandomBatches(cfg, count)
            trainer = _Trainer(cfg, loader, warm_up)
            with PeakMemory(next(trainer.model.parameters()).device) as memory:
                trainer.train()
            elapsed, waited = trainer.clock.seconds, trainer.clock.waited
    return {
        "seconds": elapsed / steps,
        "images_per_second": batch * steps / elapsed,
        "waiting_percent": 100 * waited / elapsed,
        "peak_memory_mib": memory.mib,
    }


def _bare_loop(cfg: CfgNode, warm_up: int, steps: int) -> tuple[float, PeakMemory]:
    """Return the seconds of ``steps`` in a loop as one writes it by hand."""
    model = build_model(cfg).train()
    optimizer, _ = build_optimizer(cfg, model)
    device = next(model.parameters()).device
    batch = move_batch(next(iter(_RandomBatches(cfg, cfg.SOLVER.IMS_PER_BATCH))), device)
    dtype = resolve_amp_dtype(cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE, device)
    half = dtype is torch.float16
    scaler = torch.amp.GradScaler(device.type if half else "cpu", enabled=half)

    def step() -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            loss = sum(model(batch).values())
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    with EventStorage(), PeakMemory(device) as memory:  # the model logs its accuracy
        for _ in range(warm_up):
            step()
        elapsed = seconds(lambda: [step() for _ in range(steps)], device)
    return elapsed, memory


class _Clock(HookBase):
    """Take the time of the steps after the warm-up, and how much of it was waiting for a batch."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self.seconds = self.waited = 0.0

    def after_step(self) -> None:
        finished = self.trainer.iter + 1
        if finished > self._warm_up:
            self.waited += self.trainer.storage.history("data_time").latest()  # no other scalar: losses wait
        if finished in (self._warm_up, self.trainer.max_iter):
            synchronize(next(self.trainer.model.parameters()).device)
            now = time.perf_counter()
            if finished == self._warm_up:
                self._start = now
            else:
                self.seconds = now - self._start


class _Trainer(DefaultTrainer):
    """The trainer of the config with another loader and no hook but the clock."""

    def __init__(self, cfg: CfgNode, loader: Any, warm_up: int) -> None:
        self._given, self.clock = loader, _Clock(warm_up)
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
