"""Hold parts of the model still at the start of training."""

from __future__ import annotations

import logging
from typing import Any

from torch import nn

from ...solver.freeze import frozen_parameter_names
from ...utils.weights import unwrap_model
from ..loop import HookBase

__all__ = ["LayerFreeze"]

logger = logging.getLogger(__name__)


class LayerFreeze(HookBase):
    """Keep top-level parts of the model from changing for the first iterations of the run.

    Their parameters get no update and no weight decay, and their batch norms keep their statistics. The window is
    counted in iterations of the whole run, so resuming inside it goes on right. Gradients are taken away just before
    the optimizer's step, which is what works with data parallelism too.

    Args:
        model: the model, or its data-parallel wrapper.
        freeze_layers: whole names of top-level children (regular expressions), ``MODEL.FREEZE_LAYERS``.
        freeze_iters: length of the window, ``SOLVER.FREEZE_ITERS``.

    Raises:
        ValueError: if a name matches no child.
    """

    def __init__(self, model: nn.Module, freeze_layers: list[str], freeze_iters: int) -> None:
        self._model = unwrap_model(model)
        self._iters = freeze_iters
        names = frozen_parameter_names(self._model, freeze_layers)
        self._parameters = [parameter for name, parameter in self._model.named_parameters() if name in names]
        self._children = sorted({name.split(".")[0] for name in names})
        self._frozen = False
        self._handle: Any = None

    def before_train(self) -> None:
        """Take hold of the optimizer's step."""
        self._handle = self.trainer.optimizer.register_step_pre_hook(lambda *_: self._drop_gradients())

    def before_step(self) -> None:
        """Freeze at the first iteration of the window, open after its last."""
        if self.trainer.iter < self._iters:
            self.freeze_specific_layer()
        elif self._frozen:
            self.open_all_layer()

    def after_train(self) -> None:
        """Let go of the optimizer."""
        if self._handle is not None:
            self._handle.remove()

    def freeze_specific_layer(self) -> None:
        """Put the parts into eval mode; an evaluation in between may have changed it."""
        for child in self._children:
            if not self._frozen:
                logger.info('Freeze layer group "%s" training for %d iterations', child, self._iters)
            getattr(self._model, child).eval()
        self._frozen = True
        self.trainer.frozen = frozenset(self._parameters)  # their gradients do not count

    def open_all_layer(self) -> None:
        """Put the parts back into training mode."""
        for child in self._children:
            logger.info('Open layer group "%s" training', child)
            getattr(self._model, child).train()
        self._frozen = False
        self.trainer.frozen = frozenset()

    def _drop_gradients(self) -> None:
        if self._frozen:
            for parameter in self._parameters:
                parameter.grad = None
