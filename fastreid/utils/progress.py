"""Say how far a long step has come: one moving line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import datetime
import logging
import shutil
import sys
from collections.abc import Iterable, Iterator, Sized
from time import monotonic
from typing import TypeVar

from . import comm

__all__ = ["Progress", "clear_progress_line", "progress"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_DRAW_EVERY = 0.1  # seconds between two drawings of the moving line
_shown: list[Progress] = []  # the bars that are open on the terminal, innermost last


class Progress:
    """Report the progress of a loop that the caller drives.

    On a terminal (stderr is one) the main process redraws a single line: done and total, speed, time
    left. Elsewhere plain lines go to the logger, ``Inference done 40/312. 0.0512 s / batch. ETA=0:00:13``,
    at most one every ``plain_every`` seconds. One at the end is logged in either case.

    Args:
        total: number of units there will be, at least 0; ``None`` if nobody knows (then there is no ETA).
        desc: what is going on, one or two words.
        unit: what is counted.
        initial: units that were done before (a resumed run); they do not count for the speed.
        plain_every: seconds between two plain lines; ``None`` writes none, not even the last, where
            something else reports already.

    Example:
        >>> with Progress(total=2, desc="Painting", unit="image", plain_every=None) as bar:
        ...     bar.update()
        ...     bar.update()
        >>> bar.done
        2
    """

    def __init__(
        self,
        *,
        total: int | None,
        desc: str,
        unit: str = "it",
        initial: int = 0,
        plain_every: float | None = 30.0,
    ) -> None:
        if total is not None and total < 0:
            raise ValueError(f"total must be at least 0, or None if it is not known, got {total}")
        self.total = total
        self.done = initial
        self._desc = desc
        self._unit = unit
        self._initial = initial
        self._plain_every = plain_every
        self._started = self._last_plain = self._last_drawn = monotonic()
        self._note = ""
        self._terminal = sys.stderr.isatty() and comm.is_main_process()
        self._open = True
        if self._terminal:
            _shown.append(self)

    def update(self, count: int = 1, *, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the moving line."""
        self.done += count
        self._note = note
        now = monotonic()
        if self._terminal:
            if now - self._last_drawn >= _DRAW_EVERY:
                self._last_drawn = now
                self._draw()
        elif self._plain_every is not None and now - self._last_plain >= self._plain_every:
            self._last_plain = now
            logger.info("%s. ETA=%s", self._sentence(), self._eta())

    def close(self) -> None:
        """End the report; further calls do nothing."""
        if not self._open:
            return
        self._open = False
        if self._terminal:
            clear_progress_line()
            _shown.remove(self)
        if self._plain_every is not None:
            logger.info("%s. Total %s", self._sentence(), _clock(self._elapsed()))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _elapsed(self) -> float:
        return monotonic() - self._started

    def _seconds_per_unit(self) -> float:
        return self._elapsed() / max(self.done - self._initial, 1)

    def _eta(self) -> str:
        if self.total is None or self.done == self._initial:
            return "unknown"
        return _clock((self.total - self.done) * self._seconds_per_unit())

    def _count(self) -> str:
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    def _sentence(self) -> str:
        return f"{self._desc} done {self._count()}. {self._seconds_per_unit():.4f} s / {self._unit}"

    def _draw(self) -> None:
        pace = self._seconds_per_unit()
        speed = f"{1 / pace:.2f} {self._unit}/s" if 0 < pace <= 1 else f"{pace:.2f} s/{self._unit}"
        percent = f" ({100 * self.done // self.total} %)" if self.total else ""
        line = f"{self._desc}: {self._count()}{percent}  {speed}  ETA {self._eta()}  {self._note}".rstrip()
        width = shutil.get_terminal_size().columns - 1  # a full line would wrap and could not be redrawn
        sys.stderr.write(f"\r\x1b[K{line[:width]}")
        sys.stderr.flush()


def progress(
    iterable: Iterable[T],
    *,
    total: int | None = None,
    desc: str,
    unit: str = "it",
    plain_every: float | None = 30.0,
) -> Iterator[T]:
    """Yield the items of ``iterable`` and report after each that it is done; see :class:`Progress`.

    Args:
        iterable: what to loop over.
        total: number of items; taken from ``len(iterable)`` where it has one.
        desc: what is going on, one or two words.
        unit: what an item is.
        plain_every: seconds between two plain lines, ``None`` for none.

    Example:
        >>> list(progress([3, 1, 2], desc="Sorting", plain_every=None))
        [3, 1, 2]
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(total=total, desc=desc, unit=unit, plain_every=plain_every) as bar:
        for item in iterable:
            yield item
            bar.update()


def clear_progress_line() -> None:
    """Wipe the moving line, if there is one, so that other text can be written; the next update draws it again."""
    if _shown:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    """Format seconds as ``H:MM:SS``."""
    return str(datetime.timedelta(seconds=round(max(seconds, 0.0))))
