"""Set up logging for a run, and log less often than one is asked to."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from types import CodeType
from typing import TextIO

from termcolor import colored

from .file_io import PathManager
from .progress import clear_progress_line

__all__ = ["PathManager", "log_every_n", "log_every_n_seconds", "log_first_n", "setup_logger"]

_PUBLIC_NAME = "fastreid"
# The name under which the package was imported; another one where a client has vendored it.
_PACKAGE = __name__.removesuffix(".utils.logger")
_DATE = "%m/%d %H:%M:%S"


def setup_logger(
    output: str | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "fastreid",
    abbrev_name: str | None = None,
) -> logging.Logger:
    """Send a logger's messages to the terminal and to a file.

    The main process writes to stdout, ``[mm/dd HH:MM:SS fastreid.x.y]: message``, and every process appends to a
    file, ``[mm/dd HH:MM:SS] fastreid.x.y LEVEL: message``. Calling it again changes nothing, except that another
    ``output`` takes the place of the former file.

    Args:
        output: a folder, which gets ``log.txt``, or a file name ending in ``.txt`` or ``.log``; ``None`` for no file.
        distributed_rank: number of this process; files of the others than 0 end in ``.rank<number>``.
        color: colour the terminal's prefix where the terminal can; never in a pipe.
        name: the logger; ``"fastreid"`` means this package, also where it was imported under another name.
        abbrev_name: what the terminal shows in place of ``name``; ``"fastreid"`` for this package by default.

    Returns:
        The logger.
    """
    if name == _PUBLIC_NAME:
        name, abbrev_name = _PACKAGE, _PUBLIC_NAME if abbrev_name is None else abbrev_name
    target = logging.getLogger(name)
    target.setLevel(logging.DEBUG)
    target.propagate = False
    if distributed_rank == 0 and not any(isinstance(handler, _ConsoleHandler) for handler in target.handlers):
        console = _ConsoleHandler()
        console.setFormatter(_ConsoleFormatter(name, name if abbrev_name is None else abbrev_name, color))
        target.addHandler(console)
    if output is not None:
        _log_to(target, _log_file(output, distributed_rank))
    return target


def log_first_n(
    lvl: int, msg: str, n: int = 1, *, name: str | None = None, key: str | Iterable[str] = "caller"
) -> None:
    """Log only the first ``n`` times.

    Args:
        lvl: a level of ``logging``.
        msg: the text.
        n: how many times.
        name: the logger; the calling module's by default.
        key: what makes two calls the same: ``"caller"`` (the line of code), ``"message"``, or both in a tuple.

    Raises:
        ValueError: if ``key`` holds anything else.
    """
    keys = (key,) if isinstance(key, str) else tuple(key)
    if not keys or not set(keys) <= {"caller", "message"}:
        raise ValueError(f"key must be 'caller', 'message' or a tuple of both, got {key!r}")
    module, place = _caller()
    counted = (place if "caller" in keys else None, msg if "message" in keys else None)
    _first[counted] += 1
    if _first[counted] <= n:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n(lvl: int, msg: str, n: int = 1, *, name: str | None = None) -> None:
    """Log the first, the n+1st, the 2n+1st ... time that this line of code is reached."""
    module, place = _caller()
    _every[place] += 1
    if n == 1 or _every[place] % n == 1:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n_seconds(lvl: int, msg: str, n: float = 1, *, name: str | None = None) -> None:
    """Log when this line of code is reached for the first time, or ``n`` seconds after it last logged."""
    module, place = _caller()
    now = monotonic()
    if place not in _logged_at or now - _logged_at[place] >= n:
        _logged_at[place] = now
        logging.getLogger(name or module).log(lvl, msg)


_Place = tuple[CodeType, int]
_first: Counter[tuple[_Place | None, str | None]] = Counter()
_every: Counter[_Place] = Counter()
_logged_at: dict[_Place, float] = {}


def _caller() -> tuple[str, _Place]:
    """Return the module name, and the code and line, of whoever called the caller of this function."""
    frame = sys._getframe(2)
    return frame.f_globals.get("__name__", "__main__"), (frame.f_code, frame.f_lineno)


def _log_file(output: str, rank: int) -> Path:
    path = Path(output)
    if path.suffix not in (".txt", ".log"):
        path = path / "log.txt"
    return path.with_name(path.name + f".rank{rank}") if rank > 0 else path


def _log_to(target: logging.Logger, path: Path) -> None:
    """Append to ``path`` and to no other file of ours."""
    for handler in [handler for handler in target.handlers if isinstance(handler, _RunFileHandler)]:
        if Path(handler.baseFilename) == path.absolute():
            return
        target.removeHandler(handler)
        handler.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _RunFileHandler(path.absolute(), mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", datefmt=_DATE))
    target.addHandler(handler)


class _RunFileHandler(logging.FileHandler):
    """The log file of a run."""


class _ConsoleHandler(logging.StreamHandler):
    """Write to whatever stdout is at that moment, above a progress line if there is one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        clear_progress_line()
        super().emit(record)


class _ConsoleFormatter(logging.Formatter):
    """Colour the prefix, shorten the package's name, and name the level where it is a warning or worse."""

    def __init__(self, name: str, shown_name: str, color: bool) -> None:
        super().__init__(datefmt=_DATE)
        self._name = name
        self._shown_name = shown_name
        self._color = color

    def formatMessage(self, record: logging.LogRecord) -> str:
        source = record.name
        if source == self._name or source.startswith(self._name + "."):
            source = (self._shown_name + source[len(self._name) :]).lstrip(".")
        prefix = self._paint(f"[{record.asctime} {source}]:", "green")
        if record.levelno >= logging.ERROR:
            return f"{prefix} {self._paint(record.levelname, 'red', 'underline')}: {record.message}"
        if record.levelno >= logging.WARNING:
            return f"{prefix} {self._paint(record.levelname, 'red')}: {record.message}"
        return f"{prefix} {record.message}"

    def usesTime(self) -> bool:
        return True

    def _paint(self, text: str, color: str, *attrs: str) -> str:
        if not self._color or "NO_COLOR" in os.environ or not sys.stdout.isatty():
            return text
        # asked each time, where termcolor would remember its first answer
        return colored(text, color, attrs=attrs, force_color=True)
