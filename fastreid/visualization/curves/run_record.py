"""What is known of a run that is to be drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...engine.manifest import read_manifest
from ...utils.events import read_metrics
from .run_files import find_runs

__all__ = ["RunRecord", "read_runs"]


@dataclass(frozen=True)
class RunRecord:
    """The scalars of a run.

    Args:
        name: for the legend.
        rows: iteration (0-based) -> scalar -> value, NaN where it was not finite; see ``read_metrics``.
        iters_per_epoch: ``None`` where it is not known.
    """

    name: str
    rows: dict[int, dict[str, float]]
    iters_per_epoch: int | None = None

    def scalars(self) -> list[str]:
        """Return the names of all scalars, sorted."""
        return sorted({name for row in self.rows.values() for name in row})

    def series(self, scalar: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the iterations and the values of a scalar: ``(P,)`` int64 and ``(P,)`` float64, P may be 0."""
        points = [(iteration, row[scalar]) for iteration, row in self.rows.items() if scalar in row]
        iterations = np.array([iteration for iteration, _ in points], dtype=np.int64)
        return iterations, np.array([value for _, value in points], dtype=np.float64)


def read_runs(paths: Sequence[str | os.PathLike[str]]) -> list[RunRecord]:
    """Read runs.

    Args:
        paths: folders of runs (``OUTPUT_DIR``), or ``metrics.json`` files. With a ``run.json`` beside it, the length of
            an epoch is known.

    Returns:
        One record each, in order. Names are those of the folders, with as many of the folders above as it takes to
        tell them apart.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if there is no path, one is named twice, or a file is empty or damaged.
    """
    found = find_runs(paths, "metrics.json")
    return [
        RunRecord(name, read_metrics(file), _iters_per_epoch(file.resolve().parent / "run.json"))
        for name, file in found
    ]


def _iters_per_epoch(path: Path) -> int | None:
    return read_manifest(path).get("iters_per_epoch") if path.exists() else None
