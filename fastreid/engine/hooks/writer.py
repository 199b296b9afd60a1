"""Hand what was recorded to the writers."""

from __future__ import annotations

from collections.abc import Sequence

from ...utils.events import EventWriter
from ..loop import HookBase

__all__ = ["PeriodicWriter"]


class PeriodicWriter(HookBase):
    """Call every writer each ``period`` iterations, after each epoch, and at the end.

    Args:
        writers: each writes the newest scalars somewhere.
        period: in iterations, at least 1.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int = 20) -> None:
        if period < 1:
            raise ValueError(f"LOG_PERIOD must be at least 1 iteration, got {period}")
        for writer in writers:
            if not isinstance(writer, EventWriter):
                raise TypeError(f"a writer must be an EventWriter, got {type(writer).__name__}")
        self._writers = writers
        self._period = period

    def after_step(self) -> None:
        """Write if it is due; the last iteration of an epoch waits for ``after_epoch``, which has more to say."""
        trainer = self.trainer
        if (trainer.iter + 1) % self._period == 0 and (trainer.iter + 1) % trainer.iters_per_epoch:
            self._write()

    def after_epoch(self) -> None:
        """Write, with the results of an evaluation if there was one."""
        self._write()

    def after_train(self) -> None:
        """Write what is left, and close."""
        for writer in self._writers:
            writer.write()
            writer.close()

    def _write(self) -> None:
        for writer in self._writers:
            writer.write()
