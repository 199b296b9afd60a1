"""``metrics.json``: one JSON object a line, written and read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .storage import get_event_storage
from .writer import EventWriter, NewScalars, flush

__all__ = ["JSONWriter", "read_metrics"]

logger = logging.getLogger(__name__)

_RESTARTED = "restarted_at"


class JSONWriter(EventWriter):
    """Append the scalars to a file, one JSON object with sorted keys a line.

    A line holds ``iteration`` and every scalar whose newest value belongs to it and was not written before; noisy
    ones as the median of ``window_size`` values. An iteration can have several lines: an evaluation after the
    last training line of an epoch has one of its own. NaN and infinity become ``null``, so that every line is JSON.

    The file is only ever appended to (but for the half of a line that a killed process left at its end). A run that
    was resumed from an older checkpoint, or started anew in the same folder, repeats iterations that the file has:
    its first line then holds ``restarted_at``, the iteration that it started from, and the lines above of this
    iteration and later ones no longer count. :func:`read_metrics` goes by that.

    Args:
        json_file: path of the file; folders are made.
        window_size: number of values that a noisy scalar's median covers.
    """

    def __init__(self, json_file: str, window_size: int = 20) -> None:
        path = Path(json_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last_before = -1  # the highest iteration in the file of an earlier process
        if path.exists():
            _mend_end(path)
            self._last_before = max((line["iteration"] for line in _lines(path)), default=-1)
        self._file = path.open("a", encoding="utf-8")
        self._new = NewScalars(window_size)

    def write(self) -> None:
        """Append what is new in the current storage.

        Raises:
            OSError: with the path in it, if the disk is full or not writable.
        """
        storage = get_event_storage()
        for iteration, scalars in self._new.take(storage).items():
            line = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
            if storage.start_iter <= self._last_before:
                line[_RESTARTED] = storage.start_iter
            self._last_before = -1
            self._file.write(json.dumps({"iteration": iteration, **line}, sort_keys=True, allow_nan=False) + "\n")
        flush(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: str | Path) -> dict[int, dict[str, float]]:
    """Read what counts of a ``metrics.json``: the lines of an iteration as one, without those that were superseded.

    A line that is cut off, the last one of a process that was killed, is left out with a warning.

    Args:
        path: the file.

    Returns:
        iteration -> scalar -> value, in the order of the iterations; NaN where a value was not finite.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it holds nothing, or a line that no writer of metrics wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; name the OUTPUT_DIR of a run, or its metrics.json")
    rows: dict[int, dict[str, float]] = {}
    last = -1
    for line in _lines(path):
        iteration = line.pop("iteration")
        # without a mark (a file of before there was one) going back says that the run was restarted about here
        start = line.pop(_RESTARTED, iteration if iteration < last else None)
        if start is not None:
            rows = {key: row for key, row in rows.items() if key < start}
        last = iteration
        values = {name: math.nan if value is None else float(value) for name, value in line.items()}
        rows.setdefault(iteration, {}).update(values)
    if not rows:
        raise ValueError(f"{path} holds no line yet; a run writes the first one after LOG_PERIOD iterations")
    return dict(sorted(rows.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; one that is cut off is left out with a warning."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, start=1):
            text = text.strip()
            if not text:
                continue
            try:
                line = json.loads(text)
            except ValueError as error:
                if text.startswith("{") and not text.endswith("}"):
                    logger.warning(
                        "%s: line %d is cut off (a run was killed while it wrote it), it is left out", path, number
                    )
                    continue
                raise ValueError(f"{path}: line {number} is damaged ({error}); mend or remove it") from error
            if not _is_row(line):
                raise ValueError(
                    f"{path}: line {number} is no object of numbers with an iteration, got {text[:60]!r}; "
                    "is this the metrics.json of a run?"
                )
            yield line


def _is_row(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and isinstance(line.get("iteration"), int)
        and all(value is None or isinstance(value, int | float) for value in line.values())
    )


def _mend_end(path: Path) -> None:
    """Cut off the half of a line that a killed process left at the end of a file; complete one that lacks its end."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end == len(content):
        return
    try:
        whole = _is_row(json.loads(content[end:]))
    except ValueError:
        whole = False
    with path.open("r+b") as file:
        if whole:
            file.seek(0, 2)
            file.write(b"\n")
        else:
            logger.warning("%s: its last line is cut off (a run was killed while it wrote it), it is removed", path)
            file.truncate(end)
