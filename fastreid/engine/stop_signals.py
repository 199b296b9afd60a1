"""Take over the signals that stop a run, and give them back."""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["PATIENCE", "SIGNALS", "give_back", "take_over"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 2.0
"""Seconds within which another signal counts as the same one: a terminal, a scheduler and a parent may each send it."""

_Handlers = dict[signal.Signals, Any]


def take_over(handler: Callable[[int, FrameType | None], Any]) -> _Handlers:
    """Let ``handler`` have the signals, and return the former handlers; in the main thread only."""
    return {number: signal.signal(number, handler) for number in SIGNALS}


def give_back(former: _Handlers, *, not_before: float | None = None) -> None:
    """Put the former handlers back.

    Args:
        former: what :func:`take_over` returned; may be empty.
        not_before: for a process that is about to end because of a signal, the moment of ``time.monotonic`` up to which
            another one is ignored, so that it cannot spoil the exit code. The first one after it finds the former
            handlers back. When the interpreter takes itself down, which would undo that, no signal counts any more.
    """
    if not former:
        return
    if not_before is None:
        for number, handler in former.items():
            # None: it was installed by something else than Python, which could not be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= not_before:
            give_back(former)
            os.kill(os.getpid(), number)

    take_over(on_signal)
    atexit.unregister(_ignore)
    atexit.register(_ignore)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
