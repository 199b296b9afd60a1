"""Thresholds of checkpoints: which one is stored, and how to put one into a copy."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..utils.checkpoint import read_file, write_atomically
from ..utils.weights import meta_of

__all__ = ["Threshold", "choose_threshold", "read_threshold", "set_threshold"]


@dataclass(frozen=True)
class Threshold:
    """What decides whether two images show the same identity.

    Args:
        metric: a name in :data:`~fastreid.evaluation.SCORE_REGISTRY`, whose scores it is for.
        value: a pair is accepted if its score is at least this; ``None``: there is no threshold.
        origin: where it is from, for people.
    """

    metric: str
    value: float | None
    origin: str

    @property
    def text(self) -> str:
        """Say what it is and where it is from."""
        return f"no threshold ({self.origin})" if self.value is None else f"threshold {self.value:.4f} ({self.origin})"

    def accepts(self, score: float) -> bool | None:
        """Tell whether a pair is accepted; ``None``: nobody knows, there is no threshold."""
        return None if self.value is None else bool(score >= self.value)


def choose_threshold(
    meta: Mapping[str, Any], *, metric: str, value: float | None = None, label: str | None = None
) -> Threshold:
    """Return a given threshold, or one that a checkpoint carries.

    Args:
        meta: of the checkpoint, see :func:`~fastreid.engine.predictor.load_model`.
        metric: ``TEST.METRIC``, for a given threshold, or where there is none. A stored one has its own.
        value: the given threshold; ``None``: the stored one.
        label: the test set that the stored one is of; ``None``: the only one.

    Raises:
        ValueError: if the given one is NaN or infinite, the label is unknown, or several test sets have a threshold and
            none was named.
    """
    if value is not None:
        if not math.isfinite(value):
            raise ValueError(f"--threshold must be a finite score, got {value}")
        return Threshold(metric, value, "given")
    stored = meta.get("thresholds") or {}
    if label is None and len(stored) > 1:
        raise ValueError(f"the checkpoint has thresholds of {', '.join(stored)}; name one by --label")
    if label is not None and label not in stored:
        there = f"only of {', '.join(stored)}" if stored else "and none at all; see docs/evaluation.md"
        raise ValueError(f"the checkpoint has no threshold of {label!r}, {there}")
    if not stored:
        return Threshold(metric, None, "MODEL.WEIGHTS carries none; see docs/evaluation.md, or give one by --threshold")
    label = next(iter(stored)) if label is None else label
    own = stored[label]
    return Threshold(own["metric"], own["threshold"], f"{own['kind'].upper()} {own['value']:g} on {label}")


def read_threshold(path: str, label: str | None = None, point: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return a threshold of a ``results.json``, and the test set that it is from.

    Args:
        path: of the file.
        label: the test set; ``None``: the only one.
        point: name of an operating point, such as ``TPR@FPR=1e-04`` or ``DIR@FAR=1e-02``; ``None``: the recommended
            threshold.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or has no such test set, or no such threshold, or one of scores that test-time
            options made.
    """
    try:
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; evaluate once more") from error
    if not isinstance(stored, dict) or not stored:
        raise ValueError(f"{path} has no test sets; name the results.json of an evaluation")
    if label is None and len(stored) != 1:
        raise ValueError(f"{path} has the test sets {', '.join(stored)}; name one by --label")
    label = next(iter(stored)) if label is None else label
    if label not in stored:
        raise ValueError(f"{path} has no test set {label!r}, only {', '.join(stored)}")
    details = stored[label].get("details", {})
    found = details.get("threshold")
    if found is None:
        raise ValueError(f"{path} has no thresholds of {label}; evaluate with TEST.ROC.ENABLED True")
    if found.get("postprocess"):
        raise ValueError(
            f"{path}: the scores of {label} are those of the test-time options {', '.join(found['postprocess'])}, "
            "which depend on all images of the test set, so that the weights alone do not give them; evaluate without"
        )
    if point is not None:
        points = {
            name: (kind, own)
            for part, kind in (("verification", "fpr"), ("open_set", "far"))
            for name, own in details.get(part, {}).get("operating_points", {}).items()
        }
        if point not in points:
            raise ValueError(
                f"{path} has no operating point {point!r} of {label}, only {', '.join(points) or 'the recommended one'}"
            )
        kind, own = points[point]
        rest = {key: value for key, value in own.items() if key != kind}
        found = {"kind": kind, "value": own[kind], **rest, "metric": found["metric"]}
    if found["threshold"] is None:
        raise ValueError(f"{path}: {label} has too few pairs or probes for the threshold {point or 'recommended'}")
    return label, found


def set_threshold(source: str, target: str, label: str, threshold: dict[str, Any]) -> None:
    """Write a copy of a checkpoint with a threshold in its ``meta``; all else is as it was.

    Args:
        source: path of a checkpoint, also one without ``meta``.
        target: path of the new file; its folder exists, it does not.
        label: the test set that the threshold is from.
        threshold: see :func:`read_threshold`.

    Raises:
        FileExistsError: if there is a file already: none is ever rewritten.
        ValueError: if the checkpoint says that it is compared by another metric.
    """
    if os.path.exists(target):
        raise FileExistsError(f"{target} exists; name a new file, since none is rewritten")
    data = read_file(source)
    if not isinstance(data, dict) or "model" not in data:
        data = {"model": data}
    meta = meta_of(data)
    metric = meta.get("embedding", {}).get("metric", threshold["metric"])
    if metric != threshold["metric"]:
        raise ValueError(
            f"the threshold is one of TEST.METRIC {threshold['metric']}, but {source} was made for {metric}; "
            "evaluate it with its own metric"
        )
    meta = {**meta, "thresholds": {**meta.get("thresholds", {}), label: threshold}}
    write_atomically(target, lambda file: torch.save({**data, "meta": meta}, file))
