from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from ...config import CfgNode
from ...utils.registry import Registry

__all__ = ["LOSS_REGISTRY", "build_losses", "loss_arguments", "losses_from_arguments"]

logger = logging.getLogger(__name__)

LOSS_REGISTRY = Registry("LOSS")
"""``nn.Module`` classes, built as ``Cls(cfg)`` and called as ``loss(outputs, targets)``.

``outputs`` is the dict of a head in training mode and ``targets`` ``(N,)`` int64 classes; what comes back is a dict of
scalars, each already times its weight in the total loss, whose keys are the names in the log (``loss_cls``). A class
may say under which key of :func:`loss_arguments` its own stand, by ``arguments_key = "ce"``; otherwise it is its name.
It may say that it needs nothing of ``outputs`` but the features, by ``reads = "features"``: a model with several heads
can then join theirs for it. Otherwise it is called with all that one head returns.
"""


def build_losses(cfg: CfgNode) -> dict[str, nn.Module]:
    """Build the losses ``MODEL.LOSSES.NAME``, by name and in the order of the config.

    Raises:
        KeyError: if no loss has one of the names.
        ValueError: if there is no name, or one occurs twice.
    """
    return losses_from_arguments(loss_arguments(cfg))


def loss_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Gather what the losses of a config are built from, as plain values that a caller can change.

    Returns:
        ``loss_names``, and for each loss a dict of its arguments: ``{"loss_names": ("CrossEntropyLoss",),
        "ce": {"eps": 0.1, "alpha": 0.2, "scale": 1.0}}``.
    """
    names = tuple(cfg.MODEL.LOSSES.NAME)
    arguments: dict[str, Any] = {"loss_names": names}
    for name in names:
        loss_class = LOSS_REGISTRY.get(name)
        from_config = getattr(loss_class, "from_config", None)
        # A class without from_config takes the config itself.
        arguments[_arguments_key(name)] = {"cfg": cfg} if from_config is None else from_config(cfg)
    if cfg.MODEL.LOSSES.CROSS_RANK and not any(
        {"cfg", "cross_rank"} & set(arguments[_arguments_key(n)]) for n in names
    ):
        logger.warning("MODEL.LOSSES.CROSS_RANK is True, but none of %s compares images with one another", names)
    return arguments


def losses_from_arguments(arguments: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Build losses from the dict that :func:`loss_arguments` returns, or that a caller wrote.

    Raises:
        KeyError: if a name is unknown, or has no arguments.
        ValueError: if there is no name, or one occurs twice.
        TypeError: if a loss is no ``nn.Module``.
    """
    names = tuple(arguments["loss_names"])
    if not names:
        known = ", ".join(sorted(LOSS_REGISTRY))
        raise ValueError(f"MODEL.LOSSES.NAME is empty, so that nothing could be learned; name one or more of {known}")
    if len(set(names)) != len(names):
        raise ValueError(f"MODEL.LOSSES.NAME names a loss twice: {names}; name it once and raise its SCALE")
    losses = {}
    for name in names:
        loss_class, key = LOSS_REGISTRY.get(name), _arguments_key(name)
        if key not in arguments:
            raise KeyError(f"{name} needs its arguments under {key!r}, but there is only {', '.join(arguments)}")
        losses[name] = loss_class(**arguments[key])
        if not isinstance(losses[name], nn.Module):
            raise TypeError(
                f"loss {name} must be an nn.Module, got {type(losses[name]).__name__}; derive it from nn.Module"
            )
    return losses


def _arguments_key(name: str) -> str:
    return getattr(LOSS_REGISTRY.get(name), "arguments_key", name)
