"""Keep signals that mean a whole run from ending the worker processes of its loaders first."""

from __future__ import annotations

import os
import signal
import threading

__all__ = ["leave_signals_to_parent"]


def leave_signals_to_parent() -> None:
    """Let this worker process live on when SIGINT or SIGTERM reaches a whole group of processes.

    A terminal sends SIGINT to every process of a run, a scheduler or ``timeout`` may send SIGTERM likewise. The parent
    wants to finish its iteration then, and needs its workers for it. A SIGTERM that the parent itself sends still ends
    this process, and so does the parent's end, which torch's workers watch for. Where the system does not tell who has
    sent a signal (macOS), SIGTERM is left as it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for this thread and those that it starts
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid not in (parent, os.getpid()):
        pass
    os._exit(0)
