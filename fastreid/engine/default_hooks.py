"""The hooks of ``DefaultTrainer``, as its config wants them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from torch.utils.data import DataLoader

from ..config import CfgNode
from ..utils import comm
from . import hooks
from .averaging import build_ema, build_swa
from .loop import HookBase

if TYPE_CHECKING:
    from .defaults import DefaultTrainer

__all__ = ["default_hooks"]

logger = logging.getLogger(__name__)


def default_hooks(
    trainer: DefaultTrainer,
    *,
    evaluate: Callable[[], dict[str, Any]],
    meta: dict[str, Any],
    newest_results: Callable[[], dict[str, Any]],
) -> list[HookBase | None]:
    """Return the hooks of a run, in their order; see ``engine/hooks/__init__.py`` for why it is this one.

    Args:
        trainer: with model, optimizer, schedules, averages and checkpointer.
        evaluate: evaluates the model; returns a results dict.
        meta: of the run's checkpoints.
        newest_results: returns what the newest evaluation found.
    """
    cfg = trainer.cfg
    freezes = cfg.MODEL.FREEZE_LAYERS and cfg.SOLVER.FREEZE_ITERS > 0
    writes = comm.is_main_process()
    periodic = hooks.PeriodicCheckpointer(
        trainer.checkpointer,
        cfg.SOLVER.CHECKPOINT_PERIOD,
        period_iters=cfg.SOLVER.CHECKPOINT_PERIOD_ITERS,
        keep=cfg.SOLVER.CHECKPOINT_KEEP,
    )
    return [
        hooks.IterationTimer(),
        _throughput(trainer) if writes else None,
        build_swa(cfg, trainer.averages, trainer.iters_per_epoch, lambda: _bn_loader(trainer, cfg)),
        hooks.LRScheduler(trainer.optimizer, trainer.scheduler),
        hooks.LayerFreeze(trainer.model, cfg.MODEL.FREEZE_LAYERS, cfg.SOLVER.FREEZE_ITERS) if freezes else None,
        build_ema(cfg, trainer.averages),
        _precise_bn(trainer) if cfg.TEST.PRECISE_BN.ENABLED else None,
        hooks.EvalHook(cfg.TEST.EVAL_PERIOD, evaluate, eval_period_iters=cfg.TEST.EVAL_PERIOD_ITERS),
        hooks.PeriodicWriter(trainer.build_writers(), cfg.LOG_PERIOD) if writes else None,
        _manifest(trainer, meta, newest_results) if writes and cfg.OUTPUT_DIR else None,
        hooks.BestCheckpointer(trainer.checkpointer),
        periodic,
        hooks.StopOnSignal(periodic.save_now) if cfg.OUTPUT_DIR else None,  # else nothing could be saved
        hooks.ProgressLine() if writes else None,
    ]


def _throughput(trainer: DefaultTrainer) -> HookBase:
    cfg, device = trainer.cfg, next(trainer.model.parameters()).device
    return hooks.Throughput(cfg.SOLVER.IMS_PER_BATCH, cfg.LOG_PERIOD, device)


def _manifest(trainer: DefaultTrainer, meta: dict[str, Any], newest_results: Callable[[], dict[str, Any]]) -> HookBase:
    cfg = trainer.cfg
    return hooks.RunManifest(
        os.path.join(cfg.OUTPUT_DIR, "run.json"),
        config=yaml.safe_load(meta["config"]),
        dataset=meta["dataset"],
        results=newest_results,
        seeds=lambda: {"config": cfg.SEED, "sampler": int(getattr(trainer.sampler, "seed", None) or 0)},
    )


def _precise_bn(trainer: DefaultTrainer) -> HookBase:
    cfg = trainer.cfg.clone()
    cfg.defrost()
    options = cfg.TEST.PRECISE_BN
    if options.DATASET not in cfg.DATASETS.NAMES:
        logger.warning(
            "TEST.PRECISE_BN.DATASET %s is not in DATASETS.NAMES %s: the statistics will not be those of training",
            options.DATASET,
            tuple(cfg.DATASETS.NAMES),
        )
    cfg.DATASETS.NAMES = (options.DATASET,)
    # SWA does so itself if its BN_ITERS say how long
    averages = [one for name, one in trainer.averages.items() if name != "swa" or not cfg.SOLVER.SWA.BN_ITERS]
    return hooks.PreciseBN(trainer.model, _bn_loader(trainer, cfg), options.NUM_ITER, averages=averages)


def _bn_loader(trainer: DefaultTrainer, cfg: CfgNode) -> DataLoader:
    """Return a training loader of its own, to recompute batch-norm statistics with."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATALOADER.NUM_WORKERS = 0  # they would wait through the whole run
    cfg.DATALOADER.CACHE = ""  # for images that are read once or twice
    return trainer.build_train_loader(cfg)
