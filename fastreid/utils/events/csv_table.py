"""``metrics.csv``: the scalars of a run as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from ..checkpoint import write_atomically
from .storage import EventStorage, get_event_storage
from .writer import EventWriter, NewScalars, flush

__all__ = ["CSVWriter"]

_Row = dict[str, str]  # column -> cell; what a row has no cell of is empty


class CSVWriter(EventWriter):
    """Keep a table of the scalars: a row an iteration, a column a scalar, the numbers of ``metrics.json``.

    The first column is ``iteration``. A scalar that appears later gets a new column behind the others, empty above. A
    cell is empty where nothing was written, and ``nan``, ``inf`` or ``-inf`` where the value was not finite. Rows are
    appended; for a new column, or a second write of an iteration, the table is written anew, atomically.

    A resumed run goes on in the same table: rows of the iteration that it starts from, and later ones, are removed when
    it writes its first row, because it does those iterations again.

    Args:
        csv_file: path of the file; folders are made.
        window_size: number of values that a noisy scalar's median covers.

    Raises:
        ValueError: if the file is there and is no such table.
    """

    def __init__(self, csv_file: str, window_size: int = 20) -> None:
        self._path = Path(csv_file)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._new = NewScalars(window_size)
        self._columns, rows = _read(self._path)
        self._last = max(rows, default=-1)
        self._file: IO[str] | None = None  # opened by the first write, which knows where the run starts

    def write(self) -> None:
        """Add what is new in the current storage."""
        storage = get_event_storage()
        new = {
            iteration: {name: repr(float(value)) for name, value in scalars.items()}
            for iteration, scalars in self._new.take(storage).items()
        }
        if not new:
            return
        names = sorted({name for row in new.values() for name in row} - set(self._columns))
        if self._file is None or names or min(new) <= self._last:
            self._rewrite(storage, names, new)
        else:
            self._file.write(_text(self._columns, new))
            flush(self._file)
        self._last = max(self._last, *new)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _rewrite(self, storage: EventStorage, names: Iterable[str], new: dict[int, _Row]) -> None:
        """Write the whole table, with more columns and rows, and open it to append to."""
        self.close()
        _, rows = _read(self._path)
        if self._file is None:
            rows = {iteration: row for iteration, row in rows.items() if iteration < storage.start_iter}
            self._last = max(rows, default=-1)
        self._columns += names
        for iteration, row in new.items():
            rows[iteration] = {**rows.get(iteration, {}), **row}
        head = io.StringIO()
        csv.writer(head, lineterminator="\n").writerow(["iteration", *self._columns])
        text = head.getvalue() + _text(self._columns, dict(sorted(rows.items())))
        write_atomically(str(self._path), lambda file: file.write(text.encode()))
        self._file = self._path.open("a", encoding="utf-8", newline="")


def _text(columns: list[str], rows: dict[int, _Row]) -> str:
    return "".join(
        ",".join([str(iteration), *(row.get(name, "") for name in columns)]) + "\n" for iteration, row in rows.items()
    )


def _read(path: Path) -> tuple[list[str], dict[int, _Row]]:
    """Return the columns behind ``iteration`` and the rows of a table; a row that is cut off at its end is left out."""
    if not path.exists():
        return [], {}
    text = path.read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    if not lines:
        return [], {}
    remedy = "it was changed by hand or is no table of a run; move it away"
    if lines[0][:1] != ["iteration"]:
        raise ValueError(f"{path}: the first column must be iteration, got {','.join(lines[0])[:60]!r}; {remedy}")
    columns = lines[0][1:]
    rows: dict[int, _Row] = {}
    for number, (iteration, *cells) in enumerate(lines[1:], start=2):
        if not iteration.isdecimal() or len(cells) != len(columns):
            raise ValueError(f"{path}: line {number} has no iteration or not {len(columns) + 1} cells; {remedy}")
        rows[int(iteration)] = {name: cell for name, cell in zip(columns, cells) if cell}
    return columns, rows
