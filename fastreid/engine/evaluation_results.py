"""What an evaluation leaves: numbers, details beside them, and their files."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import CfgNode
from ..evaluation.postprocess import postprocess_names
from ..utils.checkpoint import write_atomically

__all__ = [
    "EvaluationResults",
    "file_label",
    "judged_by",
    "queries_file",
    "read_queries",
    "read_results",
    "stored_judged_by",
    "thresholds_of",
    "write_queries",
    "write_results",
]


class EvaluationResults(OrderedDict):
    """The numbers of one test set, or a dict of numbers for each of several, with what else the evaluators found.

    Args:
        numbers: become the entries.
        details: by the label of the test set, plain values.

    Attributes:
        details: as given.
    """

    def __init__(self, numbers: Mapping[str, Any] | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(numbers or {})
        self.details = dict(details or {})


def judged_by(cfg: CfgNode) -> dict[str, Any]:
    """Return the settings of ``TEST`` that decide what the numbers mean: without these, two runs do not compare."""
    test = cfg.TEST
    return {
        "evaluator": test.EVALUATOR,
        "protocol": test.PROTOCOL,
        "metric": test.METRIC,
        "flip": test.FLIP.ENABLED,
        "postprocess": postprocess_names(cfg),
    }


def thresholds_of(details: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the recommended thresholds by test set, those that are defined, for the ``meta`` of a checkpoint.

    A threshold of scores that test-time options made is left out: they depend on the other images of the test set, and
    the weights alone do not give them.

    Args:
        details: of the evaluators, by the label of the test set.

    Returns:
        For each label ``kind``, ``value``, ``threshold``, ``threshold_interval``, ``metric`` ...: plain values.
    """
    found = {label: own.get("threshold") for label, own in details.items()}
    usable = {label: own for label, own in found.items() if own and own.get("threshold") is not None}
    return {label: dict(own) for label, own in usable.items() if not own.get("postprocess")}


def write_results(
    folder: str, results: Mapping[str, Mapping[str, float]], details: Mapping[str, Any] | None = None
) -> None:
    """Write ``results.json``: the numbers of each test set by name, of the newest evaluation, and their ``details``."""
    os.makedirs(folder, exist_ok=True)
    plain: dict[str, dict[str, Any]] = {
        name: {key: float(value) for key, value in numbers.items()} for name, numbers in results.items()
    }
    for name, own in (details or {}).items():
        if own:
            plain[name]["details"] = own
    text = json.dumps(plain, indent=2) + "\n"
    write_atomically(os.path.join(folder, "results.json"), lambda file: file.write(text.encode()))


def file_label(label: str) -> str:
    """Return the label of a test set as it is in names of files."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", label)


def queries_file(label: str) -> str:
    """Return the name of the file with a test set's per-query numbers."""
    return f"queries_{file_label(label)}.npz"


def read_results(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Read a ``results.json``: for each test set its numbers by name, and ``details``.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; evaluate once more") from error
    if not isinstance(stored, dict) or not stored or not all(isinstance(own, dict) for own in stored.values()):
        raise ValueError(f"{path} has no test sets; name the results.json of an evaluation")
    return stored


def read_queries(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays ``(Q,)`` of a test set's queries.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no queries_<test set>.npz: {error}; evaluate once more") from error


def stored_judged_by(queries_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return :func:`judged_by` of the evaluation that wrote a file of queries, from the ``results.json`` beside it.

    Returns:
        Empty if it is not known.

    Raises:
        ValueError: if ``results.json`` is damaged.
    """
    folder, name = os.path.split(os.fspath(queries_path))
    path = os.path.join(folder, "results.json")
    if not os.path.isfile(path):
        return {}
    own = [result for label, result in read_results(path).items() if queries_file(label) == name]
    return own[0].get("details", {}).get("judged_by", {}) if own else {}


def write_queries(folder: str, label: str, queries: Mapping[str, np.ndarray]) -> None:
    """Write the arrays ``(Q,)`` of a test set's queries."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, queries_file(label))
    write_atomically(path, lambda file: np.savez_compressed(file, **queries))
