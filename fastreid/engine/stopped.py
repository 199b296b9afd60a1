"""How a run says that it was stopped from outside and can go on."""

from __future__ import annotations

__all__ = ["STOPPED_EXIT_CODE", "RunStopped"]

# EX_TEMPFAIL of sysexits.h: failed for now, try again. Neither a shell (126 to 165) nor Python (1, 2, 120) gives it.
STOPPED_EXIT_CODE = 75


class RunStopped(SystemExit):
    """A signal stopped the run at the end of an iteration, and a checkpoint to go on from was saved.

    It ends the process with :data:`STOPPED_EXIT_CODE` where nobody catches it.

    Args:
        signal_name: such as ``SIGTERM``.
        iteration: the last finished one, 0-based; ``None`` where that is not known.
    """

    def __init__(self, signal_name: str, iteration: int | None = None) -> None:
        super().__init__(STOPPED_EXIT_CODE)
        self.signal_name = signal_name
        self.iteration = iteration

    def __str__(self) -> str:
        where = "" if self.iteration is None else f" after iteration {self.iteration}"
        return f"stopped by {self.signal_name}{where}; go on with --resume"
