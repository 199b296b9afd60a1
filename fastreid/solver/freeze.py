"""Which parameters ``MODEL.FREEZE_LAYERS`` names, and an optimizer that leaves them alone for a while."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from ..config import CfgNode
from ..utils.weights import unwrap_model
from .gradient_rule import with_gradient_rule

__all__ = ["frozen_parameter_names", "maybe_add_freeze_layer"]

_LEFT = "freeze_iters_left"


def frozen_parameter_names(model: nn.Module, freeze_layers: Sequence[str]) -> set[str]:
    """Return the names of the parameters in the top-level children that the patterns name.

    Args:
        model: the model, or its data-parallel wrapper.
        freeze_layers: regular expressions for *whole* names of top-level children: ``b1`` names ``b1`` and not
            ``b1_head``, ``b1.*`` names both; empty: nothing is frozen.

    Returns:
        Names as in ``model.named_parameters()`` of the model without its wrapper.

    Raises:
        ValueError: if a pattern matches no child, or is not a regular expression.
    """
    model = unwrap_model(model)
    children = [name for name, _ in model.named_children()]
    frozen: set[str] = set()
    for pattern in freeze_layers:
        try:
            matches = {name for name in children if re.fullmatch(pattern, name)}
        except re.error as error:
            raise ValueError(f"MODEL.FREEZE_LAYERS has {pattern!r}, not a regular expression: {error}") from error
        if not matches:
            close = difflib.get_close_matches(pattern, children, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"MODEL.FREEZE_LAYERS has {pattern!r}, which is the whole name of no top-level part of the model."
                f"{hint} There are: {', '.join(children) or 'none'}"
            )
        frozen |= matches
    return {name for name, _ in model.named_parameters() if name.split(".")[0] in frozen}


def maybe_add_freeze_layer(cfg: CfgNode, optimizer: type[Optimizer]) -> type[Optimizer]:
    """Return a class of optimizer that leaves groups with ``freeze_status`` ``"freeze"`` alone for its first steps.

    For training loops without hooks; ``build_optimizer`` does not use it, because the ``LayerFreeze`` hook does the
    same by the iteration of the run and looks after batch norms too. The steps that are left are counted in the groups,
    so they are stored with the state of the optimizer and go on from there after a resume.

    Args:
        cfg: ``SOLVER.FREEZE_ITERS``, how many steps, and ``MODEL.FREEZE_LAYERS``.
        optimizer: a class of optimizer.

    Returns:
        The class itself if nothing is to be frozen, otherwise a subclass.
    """
    steps = cfg.SOLVER.FREEZE_ITERS
    if steps <= 0 or not cfg.MODEL.FREEZE_LAYERS:
        return optimizer

    def hide_gradients(instance: Optimizer) -> None:
        for group in instance.param_groups:
            if group.get("freeze_status") != "freeze" or group.setdefault(_LEFT, steps) == 0:
                continue
            group[_LEFT] -= 1
            for parameter in group["params"]:
                parameter.grad = None  # no update and no weight decay; a gradient of zeros would still decay

    return with_gradient_rule(optimizer, hide_gradients, name="WithFrozenLayers")
