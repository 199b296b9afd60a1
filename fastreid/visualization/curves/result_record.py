"""What an evaluation left, as far as it can be drawn."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...engine.evaluation_results import queries_file, read_queries, read_results
from .run_files import find_runs

__all__ = ["PANELS", "OperatingPoint", "ResultRecord", "read_evaluations"]

logger = logging.getLogger(__name__)

PANELS = ("roc", "dir", "cmc", "ap", "scores", "cameras")
"""What can be drawn of an evaluation, in the order of the figure."""

_PARTS = {"roc": ("verification", "fpr", "tpr"), "dir": ("open_set", "far", "dir")}

_TABLES = ("judged_by", "queries", "breakdown", "verification", "open_set", "threshold")  # of the details


class OperatingPoint(NamedTuple):
    """A point of a curve that somebody may choose; rates are in [0, 1].

    Args:
        false: the rate of false positives or alarms.
        true: the rate of what is found.
        interval: of ``true``; ``None``: not known.
        chosen: it is the recommended threshold.
    """

    false: float
    true: float
    interval: tuple[float, float] | None = None
    chosen: bool = False


@dataclass(frozen=True)
class ResultRecord:
    """The evaluation of a run on a test set.

    Args:
        name: of the run, for the legend.
        label: of the test set.
        details: of the test set in ``results.json``.
        precisions: ``(Q,)`` average precision of each query in [0, 1], NaN without a true match; ``None``: not known.
        why_no_precisions: where they are not known.
    """

    name: str
    label: str
    details: Mapping[str, Any] = field(default_factory=dict)
    precisions: np.ndarray | None = None
    why_no_precisions: str = "there is no average precision of the queries; evaluate once more"

    @property
    def judged_by(self) -> dict[str, Any]:
        """The settings that decide what the numbers mean."""
        return dict(self.details.get("judged_by", {}))

    @property
    def is_first_split(self) -> bool:
        """Whether pairs and thresholds are those of the first of several splits, which have no common ones."""
        return "verification" not in self.details and bool(self.details.get("splits"))

    @property
    def score_name(self) -> str:
        """What the scores are, for an axis."""
        metric = self._pairs().get("threshold", {}).get("metric") or self.judged_by.get("metric")
        return f"score ({', '.join([metric, *self.judged_by.get('postprocess', ())])})" if metric else "score"

    @property
    def threshold(self) -> float | None:
        """The recommended threshold; ``None``: there is none."""
        return self._pairs().get("threshold", {}).get("threshold")

    def rates(self, panel: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a curve: ``(P,)`` false rates and ``(P,)`` true rates, in [0, 1]; P is 0 where there is none.

        Args:
            panel: ``roc``: FPR and TPR of pairs; ``dir``: FAR and DIR of searches.
        """
        part, false, true = _PARTS[panel]
        curve = self._pairs().get(part, {}).get("curve", {})
        return np.array(curve.get(false, ()), dtype=np.float64), np.array(curve.get(true, ()), dtype=np.float64)

    def operating_points(self, panel: str) -> list[OperatingPoint]:
        """Return those points of the curve of ``panel`` that are defined; the last may be the chosen one."""
        part, false, true = _PARTS[panel]
        found = [_point(own, false, true) for own in self._pairs().get(part, {}).get("operating_points", {}).values()]
        threshold = self._pairs().get("threshold", {})
        if threshold.get("kind") == false:
            found.append(_point(threshold, "value", true, chosen=True))
        return [point for point in found if point is not None]

    def scores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return edges ``(B + 1,)``, genuine pairs and impostors ``(B,)`` in each bar; empty where there are none."""
        bars = self._pairs().get("verification", {}).get("histogram", {})
        return tuple(np.array(bars.get(name, ()), dtype=np.float64) for name in ("edges", "genuine", "impostor"))

    def cmc(self) -> np.ndarray:
        """Return the CMC curve ``(K,)`` of ranks 1 to K, in percent; K is 0 where there is none."""
        return np.array(self.details.get("cmc", ()), dtype=np.float64)

    def camera_pairs(self) -> tuple[list[dict[str, Any]], int]:
        """Return what is known of pairs of cameras, see ``by_camera_pair``, and how many pairs there are in all."""
        table = self.details.get("breakdown", {}).get("camera_pairs", {})
        return list(table.get("worst", ())), table.get("count", 0)

    def missing(self, panel: str) -> str:
        """Return why a panel cannot be drawn, and what would do; empty if it can."""
        if panel == "cmc":
            return "" if self.cmc().size else "there is no CMC curve; evaluate once more"
        if panel == "ap":
            known = self.precisions is not None and np.isfinite(self.precisions).any()
            return "" if known else self.why_no_precisions
        if panel == "cameras":
            return "" if self.camera_pairs()[0] else "no pairs of cameras are known of the queries and their matches"
        if not self._pairs().get("verification"):
            if self.judged_by.get("evaluator") == "RetrievalEvaluator":
                return "RetrievalEvaluator does not judge pairs of queries and gallery"
            return "it was evaluated without TEST.ROC.ENABLED; evaluate once more with TEST.ROC.ENABLED True"
        if panel == "scores":
            return "" if self.scores()[0].size else "there is no pair"
        kinds = {"roc": "genuine pairs or no impostors", "dir": "mated or no non-mated probes (TEST.OPEN_SET.SHARE)"}
        return "" if self.rates(panel)[0].size else f"there are no {kinds[panel]}"

    def _pairs(self) -> Mapping[str, Any]:
        """Return the details which have what pairs and thresholds are described in."""
        return self.details["splits"][0] if self.is_first_split else self.details


def read_evaluations(
    paths: Sequence[str | os.PathLike[str]], *, names: Sequence[str] | None = None, label: str | None = None
) -> dict[str, list[ResultRecord]]:
    """Read evaluations.

    Args:
        paths: folders of evaluations (``OUTPUT_DIR``), or their ``results.json``, beside which is
            ``queries_<test set>.npz``.
        names: of the runs; ``None``: those of the folders, with as many of the folders above as it takes to tell them
            apart.
        label: the test set; ``None``: all that every run has. One that only some of the runs have is left out, with a
            warning.

    Returns:
        For each test set the records of the runs, in order. If they were judged in different ways, there is a warning.

    Raises:
        FileNotFoundError: if there is no such evaluation.
        ValueError: if there is no path, one is named twice, names do not fit, a file is damaged, or there is no such
            test set, or none that all runs have.
    """
    found = find_runs(paths, "results.json", names)
    stored = {name: _read(file) for name, file in found}
    labels = _common_labels(stored, label)
    records = {}
    for own in labels:
        records[own] = [_record(name, own, stored[name][own], file.parent) for name, file in found]
        _warn_of_settings(own, records[own])
    return records


def _point(own: Mapping[str, Any], false: str, true: str, *, chosen: bool = False) -> OperatingPoint | None:
    if own.get(true) is None:
        return None
    interval = own.get(f"{true}_interval")
    return OperatingPoint(
        own[false], own[true] / 100, None if interval is None else (interval[0] / 100, interval[1] / 100), chosen
    )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; name the OUTPUT_DIR of an evaluation, or its results.json")
    return read_results(path)


def _common_labels(stored: Mapping[str, Mapping[str, Any]], label: str | None) -> list[str]:
    """Return the test sets to draw."""
    of_each = "; ".join(f"{name}: {', '.join(own)}" for name, own in stored.items())
    every = list(dict.fromkeys(of for own in stored.values() for of in own))
    common = [own for own in every if all(own in of for of in stored.values())]
    if label is not None and label not in common:
        raise ValueError(f"--label {label!r} is no test set of every run; there are: {of_each}")
    if not common:
        raise ValueError(f"the runs have no test set in common; there are: {of_each}")
    left_out = [own for own in every if own not in common]
    if label is None and left_out:
        logger.warning("Left out, because not every run was evaluated on it: %s", ", ".join(left_out))
    return common if label is None else [label]


def _record(name: str, label: str, stored: Mapping[str, Any], folder: Path) -> ResultRecord:
    details = stored.get("details", {})
    parts = [details, *(details.get(part, {}) for part in _TABLES)] if isinstance(details, Mapping) else [details]
    if not all(isinstance(part, Mapping) for part in parts):
        raise ValueError(
            f"{folder / 'results.json'} is damaged: the details of {label} are no tables; evaluate once more"
        )
    path = folder / queries_file(label)
    if not path.is_file():
        why = f"{path} is not there; evaluate once more"
        return ResultRecord(name, label, details, None, why)
    precisions = read_queries(path).get("mAP")
    if precisions is None:
        return ResultRecord(name, label, details, None, f"{path} has no mAP; evaluate once more")
    count = details.get("queries", {}).get("count", len(precisions))
    if count != len(precisions):
        why = f"{path} has {len(precisions)} queries, but results.json is of {count}; evaluate once more"
        return ResultRecord(name, label, details, None, why)
    return ResultRecord(name, label, details, precisions)


def _warn_of_settings(label: str, records: Sequence[ResultRecord]) -> None:
    """Warn if runs were judged in different ways."""
    for key in sorted({key for record in records for key in record.judged_by}):
        values = {record.name: record.judged_by[key] for record in records if key in record.judged_by}
        if len({repr(value) for value in values.values()}) > 1:
            told = ", ".join(f"{value} in {name}" for name, value in values.items())
            logger.warning("%s: %s was %s", label, key, told)
