from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import get_cfg, get_config_file
from ..data import build_reid_train_loader
from ..data.common import CommDataset
from ..data.transforms import build_transforms
from ..engine import HookBase, SimpleTrainer
from .images import write_images

__all__ = ["StandIn", "measure"]

_WARM_UP = 10  # steps that are not timed: the workers start, and fill what they make ahead


class StandIn(nn.Module):
    """In place of a model on an accelerator: let the CPU be for a while, and return a loss.

    Args:
        ms_per_image: how long, in milliseconds.
    """

    def __init__(self, ms_per_image: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self._seconds = ms_per_image / 1000

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sleep for the images of ``batch``."""
        time.sleep(self._seconds * len(batch["targets"]))
        return {"loss": self.weight.square()}


def measure(
    *, config_file: str, opts: Sequence[str], batch: int, steps: int, workers: int, ms_per_image: float, images: int
) -> dict[str, float]:
    """Measure how long a training waits for its batches if the model leaves the processor to the loader.

    The loader, its workers, the trainer and the way of a batch to it are the library's; JPEGs are read and augmented
    as the recipe says; the model is a :class:`StandIn`.

    Args:
        config_file: recipe whose ``INPUT`` and sampler are used.
        opts: ``KEY VALUE`` pairs on top of it.
        batch: images in a step.
        steps: timed steps.
        workers: processes that read.
        ms_per_image: milliseconds that the model takes for an image.
        images: number of JPEGs, at least ``batch``.

    Returns:
        ``seconds`` per step, the median; ``images_per_second`` by it; ``waiting_percent``: share of the time of all
        steps in which they waited for their batch; ``waiting_percent_median``: that of the median step, which a
        machine with other work on it spoils less.
    """
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_file))
    cfg.merge_from_list([*opts, "SOLVER.IMS_PER_BATCH", batch, "DATALOADER.NUM_WORKERS", workers, "SEED", 0])
    with tempfile.TemporaryDirectory() as folder:
        items = write_images(Path(folder), images, identities=max(2, images // 8))
        loader = build_reid_train_loader(cfg, train_set=CommDataset(items, build_transforms(cfg)))
        model = StandIn(ms_per_image)
        trainer = SimpleTrainer(model, loader, torch.optim.SGD(model.parameters(), lr=0.0))
        clock = _Clock()
        trainer.register_hooks([clock])
        trainer.train(0, 1, _WARM_UP + steps)
        del trainer, loader  # the workers end before their files go
    total, waited = clock.total[_WARM_UP:], clock.waited[_WARM_UP:]
    seconds = statistics.median(total)
    return {
        "seconds": seconds,
        "images_per_second": batch / seconds,
        "waiting_percent": 100 * sum(waited) / sum(total),
        "waiting_percent_median": 100 * statistics.median(w / t for w, t in zip(waited, total, strict=True)),
    }


class _Clock(HookBase):
    """Note how long each step took, and how much of it was waiting for its batch."""

    def __init__(self) -> None:
        self.total: list[float] = []
        self.waited: list[float] = []

    def before_step(self) -> None:
        self._start = time.perf_counter()

    def after_step(self) -> None:
        self.total.append(time.perf_counter() - self._start)
        self.waited.append(self.trainer.storage.history("data_time").latest())
