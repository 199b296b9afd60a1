"""An iteration in half precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .simple_trainer import SimpleTrainer

__all__ = ["AMPTrainer"]


class AMPTrainer(SimpleTrainer):
    """:class:`SimpleTrainer` with the forward pass in half precision.

    Args:
        model: see :class:`SimpleTrainer`; so are ``data_loader``, ``optimizer`` and ``param_wrapper``.
        grad_scaler: keeps small float16 gradients from vanishing; ``None``: one is made, and used for float16 only.
        dtype: ``torch.float16`` or ``torch.bfloat16``; ``None``: float16 on CUDA, bfloat16 elsewhere.
        options: the keywords of :class:`SimpleTrainer`.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[dict[str, Any]],
        optimizer: torch.optim.Optimizer,
        param_wrapper: Any = None,
        grad_scaler: torch.amp.GradScaler | None = None,
        *,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, data_loader, optimizer, param_wrapper, **options)
        on_cuda = self.device.type == "cuda"
        self.dtype = dtype or (torch.float16 if on_cuda else torch.bfloat16)
        scale = self.dtype is torch.float16
        self.grad_scaler = grad_scaler or torch.amp.GradScaler(self.device.type if scale else "cpu", enabled=scale)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses of a batch, computed under autocast."""
        with torch.autocast(self.device.type, dtype=self.dtype):
            return super().forward(batch)

    def backward(self, total: Tensor) -> None:
        """Go back through the graph with a scaled loss."""
        super().backward(self.grad_scaler.scale(total))

    def finish_gradients(self) -> bool:
        """Take the scale off the gradients; a scaler leaves out steps with infinite ones by itself."""
        self.grad_scaler.unscale_(self.optimizer)  # a fused optimizer would do it only behind the clipping
        return self.grad_scaler.is_enabled()

    def update(self) -> None:
        """Step the optimizer, unless the scale was so large that gradients became infinite; then it is lowered."""
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def discard_update(self) -> None:
        """Keep the scale: it is not to blame for the loss."""
        if self.grad_scaler.is_enabled():
            self.grad_scaler.update(self.grad_scaler.get_scale())
