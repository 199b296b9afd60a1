"""A hook made of plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..loop import HookBase

__all__ = ["CallbackHook"]


class CallbackHook(HookBase):
    """Call a function of the trainer at each moment that one was given for.

    Args:
        before_train: called with the trainer, as are all the others; ``None``: nothing happens at that moment.
    """

    def __init__(
        self,
        *,
        before_train: Callable[[Any], None] | None = None,
        after_train: Callable[[Any], None] | None = None,
        before_epoch: Callable[[Any], None] | None = None,
        after_epoch: Callable[[Any], None] | None = None,
        before_step: Callable[[Any], None] | None = None,
        after_step: Callable[[Any], None] | None = None,
    ) -> None:
        self._functions = {
            "before_train": before_train,
            "after_train": after_train,
            "before_epoch": before_epoch,
            "after_epoch": after_epoch,
            "before_step": before_step,
            "after_step": after_step,
        }

    def _call(self, moment: str) -> None:
        function = self._functions[moment]
        if function is not None:
            function(self.trainer)

    def before_train(self) -> None:
        """Call the function given for this moment; so do the others."""
        self._call("before_train")

    def after_train(self) -> None:
        """Call the function given for this moment."""
        self._call("after_train")

    def before_epoch(self) -> None:
        """Call the function given for this moment."""
        self._call("before_epoch")

    def after_epoch(self) -> None:
        """Call the function given for this moment."""
        self._call("after_epoch")

    def before_step(self) -> None:
        """Call the function given for this moment."""
        self._call("before_step")

    def after_step(self) -> None:
        """Call the function given for this moment."""
        self._call("after_step")
