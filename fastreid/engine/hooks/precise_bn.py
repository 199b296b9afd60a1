"""Give the last model of a run the batch-norm statistics that are its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from torch import nn

from ...layers.precise_bn import get_bn_modules, update_bn_stats
from ...layers.weight_average import WeightAverage
from ...utils.env import get_random_state, set_random_state
from ..compile import uncompiled
from ..loop import HookBase

__all__ = ["PreciseBN", "update_average_stats"]

logger = logging.getLogger(__name__)


class PreciseBN(HookBase):
    """Recompute the statistics of every batch norm after the last epoch; see :func:`update_bn_stats`.

    Register it before the hooks that evaluate and save.

    Args:
        model: the model, or its data-parallel wrapper.
        data_loader: yields training batches; targets are not used.
        num_iter: number of batches, ``TEST.PRECISE_BN.NUM_ITER``, >= 1.
        averages: averages of the same model, which get statistics of their own from the same batches.

    Raises:
        ValueError: if ``num_iter`` is less than 1.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Any],
        num_iter: int,
        *,
        averages: Iterable[WeightAverage] = (),
    ) -> None:
        if num_iter < 1:
            raise ValueError(f"num_iter (TEST.PRECISE_BN.NUM_ITER) must be >= 1, got {num_iter}")
        self._model = model
        self._data_loader = data_loader
        self._num_iter = num_iter
        self._averages = tuple(averages)

    def after_epoch(self) -> None:
        """Recompute them if this was the last epoch."""
        if self.trainer.epoch + 1 == self.trainer.max_epoch:
            self.update_stats()

    def update_stats(self) -> None:
        """Recompute them now."""
        norms = len(get_bn_modules(self._model))
        if not norms:
            logger.warning("No precise batch norm: the model has no batch norm in training mode")
            return
        logger.info("Computing the statistics of %d batch norms over %d batches", norms, self._num_iter)
        with uncompiled(self._model):
            update_bn_stats(self._model, self._data_loader, self._num_iter)
        for average in self._averages:
            if average.started:
                update_average_stats(average, self._data_loader, self._num_iter)


def update_average_stats(average: WeightAverage, data_loader: Iterable[Any], num_iter: int) -> None:
    """Give an average the batch-norm statistics of its own weights; see :func:`update_bn_stats`.

    The model has its own weights and statistics again afterwards, and the random streams (a dropout draws from them)
    are where they were. Every rank must call it.
    """
    state = get_random_state()
    with average.applied() as model, uncompiled(model):
        update_bn_stats(model, data_loader, num_iter)
        average.read_statistics()
    set_random_state(state)
