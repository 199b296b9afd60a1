"""Build the optimizer and the schedules that a config describes."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..config import CfgNode
from ..utils.registry import Registry
from .arguments import call_with_arguments
from .freeze import maybe_add_freeze_layer
from .gradient_clipping import GradientClipType, maybe_add_gradient_clipping
from .implementation import implementation_arguments, implementation_of
from .lr_scheduler import LR_SCHEDULER_REGISTRY, WarmupLR
from .param_groups import get_default_optimizer_params, merge_param_groups
from .torch_schedules import UNSUITED_SCHEDULES

__all__ = [
    "OPTIMIZER_REGISTRY",
    "GradientClipType",
    "build_lr_scheduler",
    "build_optimizer",
    "get_default_optimizer_params",
    "maybe_add_freeze_layer",
    "maybe_add_gradient_clipping",
]

logger = logging.getLogger(__name__)

OPTIMIZER_REGISTRY = Registry("SOLVER.OPT")
"""Classes of optimizers, called as ``Cls(groups, lr=...)``; each group has its own ``lr`` and ``weight_decay``."""

# Theirs is another contract.
_UNSUITED = {
    "LBFGS": "wants a single group of parameters and a closure",
    "Muon": "updates matrices only, and networks for images have convolutions and biases",
    "SparseAdam": "wants sparse gradients",
}

for _name, _class in sorted(vars(torch.optim).items()):
    if (
        isinstance(_class, type)
        and issubclass(_class, Optimizer)
        and _class is not Optimizer
        and _name not in _UNSUITED
    ):
        OPTIMIZER_REGISTRY.register(_class)

# Arguments that have a key of their own in SOLVER; the others come from SOLVER.OPT_ARGS.
_ARGUMENTS: dict[str, dict[str, str]] = {"SGD": {"momentum": "MOMENTUM", "nesterov": "NESTEROV"}}


def build_optimizer(cfg: CfgNode, model: nn.Module, contiguous: bool = True) -> tuple[Optimizer, None]:
    """Build the optimizer ``SOLVER.OPT`` with the learning rates and weight decays of ``SOLVER``.

    Parameters with equal options share a group; see ``get_default_optimizer_params`` for who gets what. What
    ``MODEL.FREEZE_LAYERS`` names is in groups with ``freeze_status`` ``"freeze"`` if ``SOLVER.FREEZE_ITERS`` is set.

    Args:
        cfg: the config.
        model: the model, or its data-parallel wrapper.
        contiguous: accepted for old callers, of no effect: parameters are not copied into flat buffers.

    Returns:
        The optimizer, and ``None`` where old callers expect the flat buffers.

    Raises:
        KeyError: if there is no optimizer of that name.
        ValueError: if the optimizer cannot work here, does not take what ``SOLVER.OPT_ARGS`` gives it, a number is out
            of its range, a pattern of ``MODEL.FREEZE_LAYERS`` matches nothing, or the model has nothing to train.
    """
    solver = cfg.SOLVER
    if solver.OPT in _UNSUITED and solver.OPT not in OPTIMIZER_REGISTRY:
        raise ValueError(f"SOLVER.OPT is {solver.OPT!r}, which {_UNSUITED[solver.OPT]}; take AdamW or SGD")
    optimizer_class = maybe_add_gradient_clipping(cfg, OPTIMIZER_REGISTRY.get(solver.OPT))
    _check_rates(solver)
    groups = merge_param_groups(
        get_default_optimizer_params(
            model,
            base_lr=solver.BASE_LR,
            weight_decay=solver.WEIGHT_DECAY,
            weight_decay_norm=solver.WEIGHT_DECAY_NORM,
            bias_lr_factor=solver.BIAS_LR_FACTOR,
            heads_lr_factor=solver.HEADS_LR_FACTOR,
            weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
            freeze_layers=cfg.MODEL.FREEZE_LAYERS if solver.FREEZE_ITERS > 0 else (),
            layer_decay=solver.LAYER_DECAY,
        )
    )
    if not groups:
        raise ValueError(f"{type(model).__name__} has no parameter that needs a gradient; there is nothing to train")
    own = {argument: solver[key] for argument, key in _ARGUMENTS.get(solver.OPT, {}).items()}
    if "weight_decay" in inspect.signature(optimizer_class).parameters:
        own["weight_decay"] = solver.WEIGHT_DECAY
    device = groups[0]["params"][0].device
    own |= implementation_arguments(cfg, optimizer_class, device)
    optimizer = _construct(solver, optimizer_class, groups, own)
    logger.info("Optimizer %s on %s: %s", type(optimizer).__name__, device.type, implementation_of(optimizer, device))
    if "weight_decay" not in optimizer.defaults and any(group["weight_decay"] for group in groups):
        logger.warning("SOLVER.OPT %s knows no weight decay; SOLVER.WEIGHT_DECAY* have no effect", solver.OPT)
    return optimizer, None


def _construct(
    solver: CfgNode, optimizer_class: type[Optimizer], groups: list[dict[str, Any]], own: dict[str, Any]
) -> Optimizer:
    try:
        return call_with_arguments(
            "SOLVER.OPT_ARGS", solver.OPT_ARGS, optimizer_class, groups, lr=solver.BASE_LR, **own
        )
    except ValueError as error:
        if solver.OPT_IMPL == "auto":
            raise
        raise ValueError(f"with SOLVER.OPT_IMPL {solver.OPT_IMPL} (auto always works): {error}") from error


def _check_rates(solver: CfgNode) -> None:
    if not solver.BASE_LR > 0:
        raise ValueError(f"SOLVER.BASE_LR must be > 0, got {solver.BASE_LR}")
    not_negative = (
        "HEADS_LR_FACTOR",
        "BIAS_LR_FACTOR",
        "WEIGHT_DECAY",
        "WEIGHT_DECAY_NORM",
        "WEIGHT_DECAY_BIAS",
        "MOMENTUM",
        "FREEZE_ITERS",
    )
    for key in not_negative:
        if not solver[key] >= 0:
            raise ValueError(f"SOLVER.{key} must be >= 0, got {solver[key]}")
    if solver.NESTEROV and solver.MOMENTUM == 0:
        raise ValueError("SOLVER.NESTEROV needs SOLVER.MOMENTUM > 0, got 0; set NESTEROV False or give a momentum")


def build_lr_scheduler(cfg: CfgNode, optimizer: Optimizer, iters_per_epoch: int) -> dict[str, Any]:
    """Build the schedule by epochs and the warm-up by iterations.

    Args:
        cfg: ``SOLVER.SCHED``, ``WARMUP_*``, ``DELAY_EPOCHS``, ``MAX_EPOCH`` and what the schedule itself reads
            (``SCHED_ARGS``, or the older keys of ``MultiStepLR`` and ``CosineAnnealingLR``).
        optimizer: whose rates move; they are those of iteration 0 afterwards.
        iters_per_epoch: >= 1.

    Returns:
        ``lr_sched``, to be stepped once after every epoch, and, if ``SOLVER.WARMUP_ITERS`` is not 0, ``warmup_sched``,
        to be stepped after each of the first ``WARMUP_ITERS`` iterations, before the epoch's step.

    Raises:
        KeyError: if there is no schedule of that name.
        ValueError: if the schedule cannot work here, does not take what ``SOLVER.SCHED_ARGS`` gives it, or a number is
            out of its range.
    """
    solver = cfg.SOLVER
    if solver.SCHED in UNSUITED_SCHEDULES and solver.SCHED not in LR_SCHEDULER_REGISTRY:
        raise ValueError(
            f"SOLVER.SCHED is {solver.SCHED!r}, which {UNSUITED_SCHEDULES[solver.SCHED]}; take one of "
            f"{', '.join(sorted(LR_SCHEDULER_REGISTRY))}, or register your own in a file named in CUSTOM_IMPORTS"
        )
    if iters_per_epoch < 1:
        raise ValueError(
            f"iters_per_epoch must be >= 1, got {iters_per_epoch}; "
            f"the training set must hold at least SOLVER.IMS_PER_BATCH ({solver.IMS_PER_BATCH}) images"
        )
    for key in ("WARMUP_ITERS", "DELAY_EPOCHS"):
        if solver[key] < 0:
            raise ValueError(f"SOLVER.{key} must be >= 0 (0: none), got {solver[key]}")
    if solver.MAX_EPOCH < 1:
        raise ValueError(f"SOLVER.MAX_EPOCH must be >= 1, got {solver.MAX_EPOCH}")
    total = solver.MAX_EPOCH * iters_per_epoch
    if total < solver.WARMUP_ITERS:
        logger.warning(
            "The warm-up does not end: SOLVER.WARMUP_ITERS is %d, the run has %d iterations", solver.WARMUP_ITERS, total
        )
    schedulers = {"lr_sched": LR_SCHEDULER_REGISTRY.get(solver.SCHED)(cfg, optimizer, iters_per_epoch)}
    if solver.WARMUP_ITERS > 0:
        schedulers["warmup_sched"] = WarmupLR(
            optimizer,
            warmup_factor=solver.WARMUP_FACTOR,
            warmup_iters=solver.WARMUP_ITERS,
            warmup_method=solver.WARMUP_METHOD,
        )
    return schedulers
