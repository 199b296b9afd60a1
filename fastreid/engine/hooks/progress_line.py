"""Show on the terminal how far training has come."""

from __future__ import annotations

from ...utils.progress import Progress
from ..loop import HookBase

__all__ = ["ProgressLine"]


class ProgressLine(HookBase):
    """Redraw one line with iterations, speed and time left; in a pipe or a file the periodic log lines say it."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def before_train(self) -> None:
        """Draw the line."""
        trainer = self.trainer
        self._bar = Progress(
            total=trainer.max_iter, desc="Training", unit="it", initial=trainer.start_iter, plain_every=None
        )

    def after_step(self) -> None:
        """Count the iteration."""
        self._bar.update(note=f"epoch {self.trainer.epoch + 1}/{self.trainer.max_epoch}")

    def after_train(self) -> None:
        """Wipe the line."""
        if self._bar is not None:
            self._bar.close()
