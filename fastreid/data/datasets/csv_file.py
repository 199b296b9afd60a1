"""``csv:path``: one's own images, listed in a table."""

from __future__ import annotations

import csv as csv_format
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .bases import check_listed
from .build import DATASET_SCHEME_REGISTRY, find_path
from .own import SPLITS, Labelled, OwnDataset

__all__ = ["csv", "read_table"]

logger = logging.getLogger(__name__)

_COLUMNS = {"path": "path", "pid": "pid", "camid": "camid", "split": "split"}


@DATASET_SCHEME_REGISTRY.register()
def csv(path: str, *, name: str, root: str = "", **options: Any) -> OwnDataset:
    """Read the images that a table lists, one a line.

    The first line names the columns, separated by commas: ``path`` (relative to the folder of the table) and ``pid``
    (any text); perhaps ``camid`` (any text) and ``split`` (``train``, ``query``, ``gallery`` or ``test``). Without
    ``split``, all images are ``train`` and ``test``. Other columns are left out, with a warning.

    Args:
        path: of the table, UTF-8; relative to the current folder, or to the root.
        name: prefix of the training pids and camids.
        root: folder of all data sets.
        **options: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        FileNotFoundError: if the table is not there, or images that it lists are not.
        ValueError: if the table does not read like that; the message names file, line and value.
    """
    return OwnDataset(read_table(find_path(path, root, kind="file")), name=name, **options)


def read_table(
    table: str, columns: Mapping[str, str] | None = None, *, unknown: Collection[str] = ()
) -> dict[str, list[Labelled]]:
    """Read a table as :func:`csv` describes it, perhaps with other names for its columns.

    Args:
        table: the file.
        columns: what the table calls a column -> ``path``, ``pid``, ``camid`` or ``split``; ``None``: just that.
            With names of its own, the table may have other columns without a warning.
        unknown: identities that are nobody; lines with one of them are left out, which is logged.

    Returns:
        The images of each split, for ``OwnDataset``.

    Raises:
        FileNotFoundError, ValueError: see :func:`csv`.
    """
    splits: dict[str, list[Labelled]] = {}
    images: dict[str, Labelled] = {}
    listed: set[tuple[str, str]] = set()
    nobody = 0
    for line, row in _rows(table, columns or _COLUMNS, unknown, warn=columns is None):
        if row["pid"] in unknown:
            nobody += 1
            continue
        labelled = (os.path.join(os.path.dirname(table), row["path"]), row["pid"], row.get("camid"))
        image = os.path.abspath(labelled[0])  # however it is written
        earlier = images.setdefault(image, labelled)
        if earlier[1] != labelled[1]:
            raise ValueError(
                f"{table}:{line}: {row['path']!r} has pid {row['pid']!r}, but {earlier[1]!r} in an earlier line; give "
                "an image one pid"
            )
        for split in [row["split"]] if "split" in row else ("train", "test"):
            if (image, split) in listed:
                raise ValueError(
                    f"{table}:{line}: {row['path']!r} is listed for {split} before; delete one of the lines"
                )
            listed.add((image, split))
            splits.setdefault(split, []).append(labelled)
    if nobody:
        logger.info("%s: left out %d images of unknown identity", table, nobody)
    if not splits:
        raise ValueError(f"{table} lists no image; write one a line, below the names of the columns")
    check_listed(table, [path for path, _, _ in images.values()], folder=os.path.dirname(table) or ".")
    return splits


def _rows(
    table: str, columns: Mapping[str, str], unknown: Collection[str], *, warn: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its checked cells by column."""
    with open(table, newline="", encoding="utf-8-sig") as stream:  # spreadsheets begin UTF-8 with a mark
        lines = csv_format.reader(stream)
        try:
            header = _checked_header(table, [cell.strip() for cell in next(lines, [])], columns, warn=warn)
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    yield lines.line_num, _checked_row(f"{table}:{lines.line_num}", header, cells, unknown)
        except (UnicodeDecodeError, csv_format.Error) as error:
            raise ValueError(
                f"{table}, after line {lines.line_num}: {error}; save the table as UTF-8 with commas between the cells"
            ) from error


def _checked_header(table: str, header: list[str], columns: Mapping[str, str], *, warn: bool) -> list[str]:
    """Return what each column is: a value of ``columns``, or empty."""
    meant = [columns.get(name, "") for name in header]
    known = [column for column in meant if column]
    if not {"path", "pid"} <= set(known) or len(set(known)) < len(known) or (warn and len(set(header)) < len(header)):
        called = {column: " or ".join(name for name in columns if columns[name] == column) for column in _COLUMNS}
        raise ValueError(
            f"{table}:1: the columns are {', '.join(map(repr, header)) or 'not named'}; the first line must name "
            f"{called['path']} and {called['pid']}, may name {called['camid']} and {called['split']}, each once, with "
            "commas between"
        )
    others = [name for name, column in zip(header, meant) if not column]
    if others and warn:
        logger.warning("%s: the columns %s are left out; known ones are %s", table, others, ", ".join(columns))
    return meant


def _checked_row(place: str, header: list[str], cells: list[str], unknown: Collection[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise ValueError(
            f"{place}: {cells!r} has {len(cells)} cells, but there are {len(header)} columns; a cell with a comma "
            "in it goes between double quotes"
        )
    row = {column: cell.strip() for column, cell in zip(header, cells, strict=True) if column}
    if row["pid"] in unknown:
        return row
    empty = [column for column, cell in row.items() if not cell]
    if empty:
        raise ValueError(
            f"{place}: {empty[0]} is empty in {cells!r}; fill it in, or delete the line or the whole column"
        )
    if row.get("split", "train") not in SPLITS:
        raise ValueError(f"{place}: split is {row['split']!r}; it must be one of {', '.join(SPLITS)}")
    return row
