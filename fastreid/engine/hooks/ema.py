"""Keep an exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

from ...layers.weight_average import WeightAverage
from ..loop import HookBase

__all__ = ["EMA", "warmed_up_momentum"]


def warmed_up_momentum(updates: int, momentum: float, warmup: float) -> float:
    """Return the share of the old average in the next update, ``min(momentum, (1 + updates) / (warmup + updates))``.

    While the second is smaller, the average spans about the last ``1 / (warmup - 1)`` of the run so far, whatever its
    length: with 10 a ninth.

    Source: the moving average of TensorFlow (``num_updates``), which has 10.

    Args:
        updates: number of updates before this one, >= 0.
        momentum: in [0, 1).
        warmup: >= 1; 1: none, the momentum is there from the start.
    """
    return min(momentum, (1 + updates) / (warmup + updates))


class EMA(HookBase):
    """Move an average of the weights after each step of the optimizer.

    ``average = m * average + (1 - m) * weights`` with ``m`` of :func:`warmed_up_momentum`; it starts as the weights
    that training starts with. An iteration without a step (gradients that are still gathered, an overflow in float16)
    moves nothing. Only a fused optimizer skips an overflow on the device, where nobody sees it without waiting; there
    the average moves towards weights that did not change.

    Source: Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, arXiv:1703.01780.

    Args:
        average: of the model that is trained; a checkpoint holds it.
        momentum: ``SOLVER.EMA.MOMENTUM``, in [0, 1).
        warmup: ``SOLVER.EMA.WARMUP``, >= 1.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(self, average: WeightAverage, momentum: float = 0.999, warmup: float = 10.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"SOLVER.EMA.MOMENTUM must be in [0, 1), got {momentum}")
        if not warmup >= 1:
            raise ValueError(f"SOLVER.EMA.WARMUP must be >= 1 (1: none), got {warmup}")
        self.average = average
        self._momentum = momentum
        self._warmup = warmup
        self._stepped = False
        self._handle: Any = None

    def before_train(self) -> None:
        """Start the average, unless a checkpoint did, and watch the optimizer."""
        if not self.average.started:
            self.average.start()
        self._handle = self.trainer.optimizer.register_step_post_hook(lambda *_: self._see_step())

    def after_step(self) -> None:
        """Move the average if the optimizer made a step."""
        if self._stepped:
            self._stepped = False
            momentum = warmed_up_momentum(self.average.updates, self._momentum, self._warmup)
            self.average.update(1 - momentum)

    def after_train(self) -> None:
        """Let go of the optimizer."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _see_step(self) -> None:
        self._stepped = True
