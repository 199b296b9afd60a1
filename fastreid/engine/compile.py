"""Compile the parts of a model for training, in place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..utils.weights import unwrap_model

__all__ = ["compile_parts", "uncompiled"]

logger = logging.getLogger(__name__)

_COMPILED = "_compiled_call_impl"  # where nn.Module.compile() keeps what calls the module; copies do not have it


def compile_parts(model: nn.Module, *, backend: str = "inductor") -> list[str]:
    """Let ``torch.compile`` speed up the parts of a model, its top-level children with weights (backbone, heads ...).

    The model stays what it is, with the same names in its state dict. Its own forward pass is not compiled: it logs,
    and calls losses that users write, which would break it into pieces anyway. Compiling happens at the first call,
    and takes minutes for a large network. Results are equal up to rounding, but dropout draws other numbers.

    Args:
        model: on its device, without a data-parallel wrapper.
        backend: of ``torch.compile``.

    Returns:
        The names of the parts.

    Raises:
        RuntimeError: if nothing can be compiled on this machine.
    """
    parameter = next(model.parameters())
    try:
        # A trial: torch.compile itself does nothing before the first call, which would be in the first iteration.
        torch.compile(_trial, backend=backend)(torch.ones(8, device=parameter.device))
    except Exception as error:  # each backend and each missing tool raises its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RuntimeError(
            f"MODEL.COMPILE is True, but torch.compile does not work on this machine for {parameter.device.type} "
            f"({reason}); install a C++ compiler (for the CPU) or Triton (for CUDA), or "
            "set MODEL.COMPILE False"
        ) from error
    containers = (nn.ModuleDict, nn.ModuleList)
    parts = {
        name: child
        for name, child in model.named_children()
        if not isinstance(child, containers) and any(True for _ in child.parameters())
    }
    for child in parts.values():
        child.compile(backend=backend)
    logger.info("torch.compile: %s; the first iteration takes longer", ", ".join(parts))
    return list(parts)


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Run a model as it was before :func:`compile_parts`, for an evaluation.

    An evaluation has other modes and batch sizes, each of which would be compiled anew for a few batches.

    Args:
        model: the model, or its data-parallel wrapper.
    """
    compiled = [module for module in unwrap_model(model).modules() if getattr(module, _COMPILED, None) is not None]
    calls = [getattr(module, _COMPILED) for module in compiled]
    for module in compiled:
        setattr(module, _COMPILED, None)
    try:
        yield
    finally:
        for module, call in zip(compiled, calls, strict=True):
            setattr(module, _COMPILED, call)


def _trial(x: Tensor) -> Tensor:
    return torch.relu(x) + 1
