"""Train one trial with the trainer of the library, and report after each evaluation."""

from __future__ import annotations

import argparse
import logging

import optuna

from fastreid.config import CfgNode
from fastreid.data.datasets import dataset_labels
from fastreid.engine import DefaultTrainer, HookBase, TrainerBase, default_setup
from fastreid.engine.defaults import best_metric_name

from .study import Reporter

__all__ = ["ReportHook", "default_metric", "train_trial"]


class ReportHook(HookBase):
    """Report the numbers of each evaluation; stop the training where it is not worth while to go on.

    Args:
        reporter: takes them.
        eval_period: epochs between two evaluations; 0: after the last epoch only.
    """

    def __init__(self, reporter: Reporter, eval_period: int) -> None:
        self._reporter = reporter
        self._period = eval_period

    def after_epoch(self) -> None:
        """Report if there was an evaluation of what counts; must come behind ``EvalHook``."""
        trainer = self.trainer
        done = trainer.epoch + 1
        final = done == trainer.max_epoch
        if not final and (not self._period or done % self._period):
            return
        averages = getattr(trainer, "averages", {})
        if any(part in averages and not averages[part].started for part in self._reporter.metric.split("/")):
            return  # such as SWA before its first sample
        newest = {name: value for name, (value, i) in trainer.storage.latest().items() if i == trainer.iter}
        self._reporter(done, newest, final=final)


def default_metric(cfg: CfgNode) -> str:
    """Return the name of the result by which the trainer finds its best model, ``TEST.BEST_METRIC``."""
    return best_metric_name(cfg.TEST.BEST_METRIC, list(dataset_labels(cfg.DATASETS.TESTS).values()))


def train_trial(cfg: CfgNode, reporter: Reporter, *, trainer_class: type[DefaultTrainer] = DefaultTrainer) -> None:
    """Train by a config in its ``OUTPUT_DIR``, as ``tools/train_net.py`` does.

    Args:
        cfg: of the trial.
        reporter: takes the numbers of each evaluation.
        trainer_class: a trainer of one's own.
    """
    quiet = _NotAnError()
    loop = logging.getLogger(TrainerBase.__module__)
    loop.addFilter(quiet)
    try:
        default_setup(cfg, argparse.Namespace())
        trainer = trainer_class(cfg)
        trainer.resume_or_load(resume=False)
        trainer.register_hooks([ReportHook(reporter, cfg.TEST.EVAL_PERIOD)])
        trainer.train()
    finally:
        loop.removeFilter(quiet)
        _close_log()


class _NotAnError(logging.Filter):
    """Keep the traceback of a pruned trial out of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], optuna.TrialPruned))


def _close_log() -> None:
    """Close the file of this trial, so that what is logged between two trials does not get into it."""
    log = logging.getLogger(TrainerBase.__module__.partition(".")[0])
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
