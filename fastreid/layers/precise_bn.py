"""Batch-norm statistics over many batches of one model, instead of a moving average over models of the past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..utils import comm
from ..utils.progress import Progress
from ..utils.weights import unwrap_model
from .precision import at_least_float32

__all__ = ["get_bn_modules", "update_bn_stats"]


def get_bn_modules(model: nn.Module) -> list[nn.Module]:
    """Return the batch norms that are in training mode and keep running statistics; frozen ones are not among them."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]


def update_bn_stats(model: nn.Module, data_loader: Iterable[Any], num_iters: int = 200) -> None:
    """Set the running statistics of every batch norm to those of its inputs over ``num_iters`` batches.

    They are the mean and the population variance, ``E[x^2] - E[x]^2``, of all numbers of a channel, over all batches
    and all ranks; a larger batch counts more. Nothing else of the model changes, and after an error nothing at all.

    Meanwhile modules without children (batch norms, dropout) stay in their mode, and all others are in eval mode: the
    inputs are those of training, but the model embeds, and needs no targets.

    Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, "PreciseBN".

    Args:
        model: in training mode, or its data-parallel wrapper; called with a batch.
        data_loader: yields at least ``num_iters`` batches, on every rank.
        num_iters: number of batches, >= 1.

    Raises:
        ValueError: if ``num_iters`` is less than 1, or there are fewer batches.
    """
    if num_iters < 1:
        raise ValueError(f"num_iters (TEST.PRECISE_BN.NUM_ITER) must be >= 1, got {num_iters}")
    model = unwrap_model(model)
    norms = get_bn_modules(model)
    if not norms:
        return
    with (
        torch.no_grad(),
        _undisturbed(model, norms),
        _recorded(norms) as moments,
        Progress(total=num_iters, desc="Precise batch norm", unit="batch") as bar,
    ):
        for batch in islice(data_loader, num_iters):
            model(batch)
            bar.update()
        if bar.done < num_iters:
            raise ValueError(
                f"num_iters (TEST.PRECISE_BN.NUM_ITER) is {num_iters}, but there are only {bar.done} batches; lower it"
            )
    for norm, own in zip(norms, moments, strict=True):
        count, mean, var = _over_ranks(own)
        if count > 0:  # a branch that no batch went through keeps what it has
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)


@contextmanager
def _undisturbed(model: nn.Module, norms: list[nn.Module]) -> Iterator[None]:
    """Let a model embed, and put back every mode and every buffer of the norms."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    for module in modes:
        module.training = module.training and not any(module.children())
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)


@contextmanager
def _recorded(norms: list[nn.Module]) -> Iterator[list[Tensor]]:
    """Yield, for each norm, the moments of what it gets meanwhile: rows of count, mean, variance, ``(3, C)``."""
    moments = [at_least_float32(torch.zeros_like(norm.running_mean).expand(3, -1)) for norm in norms]

    def recorder(index: int) -> Any:
        def record(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            moments[index] = _merged(moments[index], _moments(inputs[0]))

        return record

    with ExitStack() as stack:
        for index, norm in enumerate(norms):
            stack.enter_context(norm.register_forward_pre_hook(recorder(index)))
        yield moments


def _moments(x: Tensor) -> Tensor:
    """Return count, mean and population variance of each channel of ``(N, C, ...)``, ``(3, C)``."""
    dims = [dim for dim in range(x.ndim) if dim != 1]
    var, mean = torch.var_mean(at_least_float32(x), dim=dims, correction=0)  # (C,)
    return torch.stack([torch.full_like(mean, x.numel() // x.shape[1]), mean, var])


def _merged(a: Tensor, b: Tensor) -> Tensor:
    """Return the moments of two sets of numbers together; without a difference of large squares."""
    count = a[0] + b[0]
    share = torch.where(count > 0, b[0] / count, 0.0)  # of b
    gap = b[1] - a[1]
    mean = a[1] + share * gap
    var = a[2] + share * (b[2] - a[2]) + share * (1 - share) * gap.square()
    return torch.stack([count, mean, var])


def _over_ranks(own: Tensor) -> tuple[float, Tensor, Tensor]:
    total, *others = comm.all_gather_tensor(own[None])  # (ranks, 3, C)
    for other in others:
        total = _merged(total, other)
    return float(total[0, 0]), total[1], total[2]
