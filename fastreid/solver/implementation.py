"""How an optimizer of torch does its arithmetic: ``SOLVER.OPT_IMPL``."""

from __future__ import annotations

import inspect

import torch
from torch.optim import Optimizer

from ..config import CfgNode

__all__ = ["implementation_arguments", "implementation_of"]

_ARGUMENTS = {
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "single": {"foreach": False, "fused": False},
}


def implementation_arguments(cfg: CfgNode, optimizer: type[Optimizer], device: torch.device) -> dict[str, bool]:
    """Return what a class of optimizer is to be told about its implementation.

    Args:
        cfg: ``SOLVER.OPT_IMPL``: ``fused``, ``foreach``, ``single`` or ``auto``. ``auto`` says nothing, so that torch
            chooses, but asks for ``fused``, where a class has it, in float16 on CUDA: a gradient scaler makes the CPU
            wait for the device in each step of another one. ``SOLVER.OPT_ARGS`` goes before it.
        optimizer: the class.
        device: of the parameters.

    Raises:
        ValueError: if the name is unknown, or the class has no such implementation.
    """
    name = cfg.SOLVER.OPT_IMPL
    known = inspect.signature(optimizer).parameters
    if name == "auto":
        amp = cfg.SOLVER.AMP
        scaled = amp.ENABLED and device.type == "cuda" and amp.DTYPE in ("auto", "float16")
        chosen = {"fused", "foreach"} & set(cfg.SOLVER.OPT_ARGS)
        return {"fused": True} if scaled and "fused" in known and not chosen else {}
    if name not in _ARGUMENTS:
        raise ValueError(f"SOLVER.OPT_IMPL must be auto, {', '.join(_ARGUMENTS)}, got {name!r}")
    if name != "single" and name not in known:
        has = ", ".join(kind for kind in ("fused", "foreach") if kind in known) or "neither fused nor foreach"
        raise ValueError(
            f"SOLVER.OPT_IMPL is {name!r}, but SOLVER.OPT {cfg.SOLVER.OPT} has {has}; set OPT_IMPL auto, or take "
            "another optimizer, such as AdamW or SGD"
        )
    return {argument: value for argument, value in _ARGUMENTS[name].items() if argument in known}


def implementation_of(optimizer: Optimizer, device: torch.device) -> str:
    """Say in words which implementation an optimizer runs with."""
    group = optimizer.defaults
    if group.get("fused"):
        return "fused"
    if group.get("foreach"):
        return "foreach"
    if "foreach" not in group:
        return "its only implementation"
    if group["foreach"] is None and not group.get("fused") and device.type == "cuda":
        return "foreach, as torch chooses on CUDA"
    return "single, one parameter after another"
