"""Averages of the weights of a run: which there are, the hooks that make them, and their results beside the model's."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from ..config import CfgNode
from ..data.datasets import dataset_labels
from ..evaluation import print_csv_format
from ..layers.weight_average import WeightAverage
from ..utils import comm
from ..utils.checkpoint import write_atomically
from . import hooks

__all__ = ["build_averages", "build_ema", "build_swa", "check_average_of_metric", "evaluate_beside"]

logger = logging.getLogger(__name__)


def build_averages(cfg: CfgNode, model: nn.Module) -> dict[str, WeightAverage]:
    """Return the averages that ``SOLVER.EMA`` and ``SOLVER.SWA`` ask for, ``ema`` and ``swa``, not started yet."""
    return {name: WeightAverage(model) for name in ("ema", "swa") if cfg.SOLVER[name.upper()].ENABLED}


def check_average_of_metric(metric: str, averages: Mapping[str, WeightAverage]) -> None:
    """Check that there will be results of the average that a metric is of, before anything is trained.

    Raises:
        ValueError: if the metric is one of an average that is off.
    """
    for name in ("ema", "swa"):
        if name in metric.split("/")[:-1] and name not in averages:
            raise ValueError(
                f"TEST.BEST_METRIC is {metric!r}, but SOLVER.{name.upper()}.ENABLED is False; set it True, or name a "
                "result of the model itself, such as mAP"
            )


def build_ema(cfg: CfgNode, averages: Mapping[str, WeightAverage]) -> hooks.EMA | None:
    """Return the hook that moves ``ema``, if there is one."""
    if "ema" not in averages:
        return None
    return hooks.EMA(averages["ema"], cfg.SOLVER.EMA.MOMENTUM, cfg.SOLVER.EMA.WARMUP)


def build_swa(
    cfg: CfgNode,
    averages: Mapping[str, WeightAverage],
    iters_per_epoch: int,
    bn_loader: Callable[[], Iterable[Any]],
) -> hooks.SWA | None:
    """Return the hook that moves ``swa``, if there is one.

    Raises:
        ValueError: if a number of ``SOLVER.SWA`` is out of its range.
    """
    if "swa" not in averages:
        return None
    options = cfg.SOLVER.SWA
    if options.START_EPOCH < -1:
        raise ValueError(f"SOLVER.SWA.START_EPOCH must be >= 0, or -1, got {options.START_EPOCH}")
    if options.PERIOD_ITERS < 0:
        raise ValueError(f"SOLVER.SWA.PERIOD_ITERS must be >= 0 (0: SOLVER.SWA.PERIOD), got {options.PERIOD_ITERS}")
    for name, value, least in (("PERIOD", options.PERIOD, 1), ("ANNEAL_EPOCHS", options.ANNEAL_EPOCHS, 0)):
        if value < least:
            raise ValueError(f"SOLVER.SWA.{name} must be >= {least} epochs, got {value}")
    start = cfg.SOLVER.MAX_EPOCH * 3 // 4 if options.START_EPOCH == -1 else options.START_EPOCH
    return hooks.SWA(
        start * iters_per_epoch,
        options.PERIOD_ITERS or options.PERIOD * iters_per_epoch,
        options.LR_FACTOR,
        options.ETA_MIN_LR,
        options.CYCLIC,
        anneal_iters=options.ANNEAL_EPOCHS * iters_per_epoch,
        average=averages["swa"],
        bn_loader=bn_loader,
        bn_iters=min(options.BN_ITERS, iters_per_epoch),  # a second look at an image teaches little
    )


def evaluate_beside(
    test: Callable[[CfgNode, nn.Module], dict[str, Any]],
    cfg: CfgNode,
    model: nn.Module,
    averages: Mapping[str, WeightAverage],
) -> dict[str, Any]:
    """Evaluate a model and its averages; every rank must call it.

    Args:
        test: :meth:`DefaultTrainer.test` or what a subclass has in its place.
        cfg: handed on; ``results.json`` in its ``OUTPUT_DIR`` gets the results of the averages too.
        model: the model, or its data-parallel wrapper.
        averages: by name; one that is not started is left out.

    Returns:
        What ``test`` returned for the model, and behind it the same of each average, ``ema/Rank-1``; with several test
        sets so in the dict of each.
    """
    results = test(cfg, model)
    found = {}
    quiet = cfg.clone()
    quiet.defrost()
    quiet.OUTPUT_DIR = ""  # results.json holds the model's own numbers at any time
    for name, average in averages.items():
        if average.started:
            logger.info("Evaluating the average %s of the weights, after %d updates", name, average.updates)
            average.share()
            with average.applied():
                found[name] = test(quiet, model)
    if not found or not comm.is_main_process() or not results:
        return results
    print_csv_format(_rows(cfg, results, found))
    for name, numbers in found.items():
        results = _joined(results, name, numbers)
    if cfg.OUTPUT_DIR:
        _add_to_file(os.path.join(cfg.OUTPUT_DIR, "results.json"), found)
    return results


def _joined(results: Mapping[str, Any], name: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Put ``name/key`` behind the keys of one test set, or of each of several."""
    if _nested(results):
        return {label: _joined(own, name, numbers.get(label, {})) for label, own in results.items()}
    return {**results, **{f"{name}/{key}": value for key, value in numbers.items()}}


def _nested(results: Mapping[str, Any]) -> bool:
    return all(isinstance(value, Mapping) for value in results.values())


def _rows(cfg: CfgNode, results: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of a table in which each test set's averages are below its own numbers."""
    only = ", ".join(dataset_labels(cfg.DATASETS.TESTS).values())
    rows = {}
    for label, own in (results if _nested(results) else {only: results}).items():
        rows[label] = own
        for name, numbers in found.items():
            rows[f"{label} {name}"] = numbers.get(label, {}) if _nested(numbers) else numbers
    return rows


def _add_to_file(path: str, found: Mapping[str, Any]) -> None:
    """Add the numbers of the averages to a ``results.json`` that has those of the model, by test set."""
    if not os.path.isfile(path):  # a test() of one's own need not write it
        return
    with open(path, encoding="utf-8") as file:
        stored = json.load(file)
    for name, numbers in found.items():
        for label in stored:
            own = numbers.get(label, {}) if _nested(numbers) else numbers
            details = stored[label].pop("details", None)
            stored[label].update({f"{name}/{key}": float(value) for key, value in own.items()})
            if details is not None:  # they stay behind the numbers
                stored[label]["details"] = details
    text = json.dumps(stored, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
