"""Several checkpoints on several test sets: how well does a model do elsewhere?"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate
from torch import nn

from ..config import CfgNode
from ..data.datasets import dataset_labels
from ..modeling import build_model
from ..utils.checkpoint import Checkpointer, write_atomically
from ..utils.custom_imports import import_custom_modules
from ..utils.one_line import one_line
from ..utils.weights import read_file
from .checkpoint_config import config_of, override_stored
from .checkpoint_state import dataset_fingerprint
from .defaults import DefaultTrainer

__all__ = ["checkpoint_of", "cross_domain", "matrix_csv", "matrix_table"]

logger = logging.getLogger(__name__)

_OWN_KEYS = ("DATASETS.TESTS", "MODEL.WEIGHTS", "OUTPUT_DIR")  # decided here
_NEWEST_LAST = ("model_best.pth", "model_final.pth")


@dataclass(frozen=True, eq=False)
class _Cell:
    """One checkpoint on one test set."""

    cfg: CfgNode
    fingerprint: str  # of all that the numbers depend on


@dataclass(frozen=True, eq=False)
class _Row:
    """One checkpoint."""

    path: str
    sha256: str
    trained_on: list[str]
    cells: dict[str, _Cell]  # by the label of the test set


def cross_domain(
    checkpoints: Sequence[str], tests: Sequence[str], output_dir: str, opts: Sequence[Any] = ()
) -> dict[str, Any]:
    """Evaluate every checkpoint on every test set, in this process.

    A checkpoint is built with the config that is stored in it. Each cell has a folder of its own with ``results.json``,
    the queries file and ``cell.json``; a cell that is done is not computed again as long as the checkpoint, its config
    with ``opts``, and the names and labels of the images stay the same. All checkpoints are loaded and all test sets
    listed before the first cell is computed.

    Args:
        checkpoints: files, or folders of runs: then the best checkpoint, else the last one.
        tests: names as in ``DATASETS.TESTS``.
        output_dir: the folder of the cells.
        opts: keys and values, in turn, that override the config of every checkpoint. ``CUSTOM_IMPORTS`` counts only
            from here: code that a checkpoint names is never run.

    Returns:
        ``tests``: labels of the test sets; ``checkpoints``: by label ``path``, ``sha256``, ``trained_on`` (names of
        data sets); ``results``: by the label of the checkpoint and that of the test set, the numbers by name.

    Raises:
        ValueError: if there is nothing to do, something is named twice, ``opts`` has a key that is decided here, or a
            checkpoint or a test set cannot be used; the message names it.
    """
    for what, names in (("checkpoint", checkpoints), ("test set", tests)):
        if not names or len(set(names)) < len(names):
            raise ValueError(f"name at least one {what}, each once, got {', '.join(names) or 'none'}")
    refused = [key for key in opts[::2] if key in _OWN_KEYS]
    if refused:
        raise ValueError(
            f"{refused[0]} is decided by the checkpoints, test sets and folder that are named; leave it out"
        )
    columns = dataset_labels(tests)
    labels = dataset_labels([f"run:{path}" for path in checkpoints])
    rows = {labels[f"run:{path}"]: _prepare(path, columns, opts) for path in checkpoints}
    results = {label: _evaluate(row, os.path.join(output_dir, _folder(label))) for label, row in rows.items()}
    return {
        "tests": list(columns.values()),
        "checkpoints": {
            label: {"path": row.path, "sha256": row.sha256, "trained_on": row.trained_on} for label, row in rows.items()
        },
        "results": results,
    }


def checkpoint_of(path: str) -> str:
    """Return the checkpoint that a path means: the file itself, or the best, else the last one of a run's folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not os.path.isdir(path):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no checkpoint and no folder {path}")
        return path
    for name in _NEWEST_LAST:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    newest = Checkpointer(nn.Module(), path, save_to_disk=False).get_checkpoint_file()
    if not newest:
        raise FileNotFoundError(f"the folder {path} has none of {', '.join(_NEWEST_LAST)} and last_checkpoint")
    return newest


def matrix_table(report: dict[str, Any], keys: Sequence[str] = ("Rank-1", "mAP")) -> str:
    """Return a table for each key: a row for each checkpoint, a column for each test set.

    Args:
        report: of :func:`cross_domain`.
        keys: names of results; a cell without one is left blank.

    Raises:
        ValueError: if no cell has a key.
    """
    _check_keys(report, keys)
    tables = []
    for key in keys:
        rows = [
            [
                label,
                ", ".join(own["trained_on"]),
                *(report["results"][label][test].get(key) for test in report["tests"]),
            ]
            for label, own in report["checkpoints"].items()
        ]
        headers = [key, "trained on", *report["tests"]]
        tables.append(tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=".2f", numalign="left"))
    return "\n\n".join(tables)


def matrix_csv(report: dict[str, Any], keys: Sequence[str] = ("Rank-1", "mAP")) -> str:
    """Return the same as lines of CSV: a line for each checkpoint, a column for each test set and key."""
    _check_keys(report, keys)
    columns = [(test, key) for test in report["tests"] for key in keys]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["checkpoint", "trained on", *(f"{test}/{key}" for test, key in columns)])
    for label, own in report["checkpoints"].items():
        numbers = [report["results"][label][test].get(key, "") for test, key in columns]
        lines.writerow([label, " ".join(own["trained_on"]), *numbers])
    return text.getvalue()


def _check_keys(report: dict[str, Any], keys: Sequence[str]) -> None:
    known = dict.fromkeys(key for row in report["results"].values() for cell in row.values() for key in cell)
    for key in keys:
        if key not in known:
            raise ValueError(f"no evaluation has a result {key!r}, only {', '.join(known)}")


def _prepare(name: str, columns: dict[str, str], opts: Sequence[Any]) -> _Row:
    """Load a checkpoint and list the test sets, to find out now what would not work later."""
    try:
        path = checkpoint_of(name)
        cfg = config_of(path, read_file(path))
        trained_on = list(cfg.DATASETS.NAMES)
        cfg = _overridden(cfg, path, opts)
        _load(cfg)
    except Exception as error:
        raise ValueError(f"the checkpoint {name} cannot be used: {one_line(error)}") from error
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    cells = {}
    for test, label in columns.items():
        own = cfg.clone()
        own.DATASETS.TESTS = (test,)
        try:
            loader, _ = DefaultTrainer.build_evaluator(own, test)
        except Exception as error:
            raise ValueError(
                f"the test set {test} cannot be used with the config of {name}: {one_line(error)}"
            ) from error
        cells[label] = _Cell(own, _fingerprint(own, sha256, loader.dataset.img_items))
    return _Row(path, sha256, trained_on, cells)


def _overridden(cfg: CfgNode, path: str, opts: Sequence[Any]) -> CfgNode:
    """Return the config that the checkpoint is evaluated with, and import what ``opts`` name."""
    override_stored(cfg, path, opts)
    cfg.MODEL.WEIGHTS, cfg.MODEL.BACKBONE.PRETRAIN, cfg.OUTPUT_DIR = path, False, ""
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    return cfg


def _load(cfg: CfgNode) -> nn.Module:
    model = build_model(cfg)
    Checkpointer(model, strict=cfg.MODEL.WEIGHTS_STRICT).load(cfg.MODEL.WEIGHTS, weights_key=cfg.MODEL.WEIGHTS_KEY)
    return model


def _fingerprint(cfg: CfgNode, sha256: str, items: Sequence[Any]) -> str:
    """Return a SHA-256 of what the numbers of a cell depend on; folders do not count."""
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS, cfg.DATASETS.ROOT, cfg.DATASETS.STORAGE = "", "", ()
    parts = (sha256, cfg.dump(), dataset_fingerprint(item[:3] for item in items))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _evaluate(row: _Row, folder: str) -> dict[str, dict[str, float]]:
    """Return the numbers of a checkpoint by test set; those that are done are read."""
    model, results = None, {}
    for label, cell in row.cells.items():
        own = os.path.join(folder, _folder(label))
        done = _read_done(own, cell.fingerprint)
        if done is None:
            model = _load(cell.cfg) if model is None else model
            cfg = cell.cfg.clone()
            cfg.OUTPUT_DIR = own
            done = {name: float(value) for name, value in DefaultTrainer.test(cfg, model).items()}
            text = json.dumps({"fingerprint": cell.fingerprint, "results": done}, indent=2) + "\n"
            os.makedirs(own, exist_ok=True)
            write_atomically(os.path.join(own, "cell.json"), lambda file, text=text: file.write(text.encode()))
        else:
            logger.info("%s on %s is done: %s", row.path, label, own)
        results[label] = done
    return results


def _read_done(folder: str, fingerprint: str) -> dict[str, float] | None:
    path = os.path.join(folder, "cell.json")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        stored = json.load(file)
    return stored["results"] if stored["fingerprint"] == fingerprint else None


def _folder(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", label)
