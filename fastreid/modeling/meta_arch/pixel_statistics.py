"""Which mean and standard deviation the pixels of a model's images have."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from torch import nn

from ...config import CfgNode

__all__ = ["pixel_arguments", "pixel_statistics"]

logger = logging.getLogger(__name__)

_KEYS = {"pixel_mean": "PIXEL_MEAN", "pixel_std": "PIXEL_STD"}


def pixel_statistics(cfg: CfgNode, backbone: nn.Module | None) -> dict[str, list[float]]:
    """Return what is subtracted from the images, and what they are divided by.

    Args:
        cfg: ``MODEL.PIXEL_MEAN`` and ``MODEL.PIXEL_STD`` are read; an empty one means that of the backbone.
        backbone: its attributes ``pixel_mean`` and ``pixel_std``, if it has them, are those of its published weights.

    Returns:
        ``pixel_mean`` and ``pixel_std``: a number for each channel, RGB, on the scale 0..255.

    Raises:
        ValueError: if the config leaves them to a backbone that has none.
    """
    found: dict[str, list[float]] = {}
    for name, key in _KEYS.items():
        values = list(cfg.MODEL[key]) or getattr(backbone, name, None)
        if values is None:
            raise ValueError(
                f"MODEL.{key} is [], the backbone's own, but {cfg.MODEL.BACKBONE.NAME} with DEPTH "
                f"{cfg.MODEL.BACKBONE.DEPTH!r} has none; give a number in 0..255 for each channel of RGB"
            )
        found[name] = list(values)
    return found


def pixel_arguments(cfg: CfgNode, backbone: nn.Module) -> dict[str, Any]:
    """Return :func:`pixel_statistics`, the arguments of a meta-architecture; warn if they do not suit its weights.

    With ``MODEL.BACKBONE.PRETRAIN`` the published weights of the backbone expect its own ones.
    """
    found = pixel_statistics(cfg, backbone)
    for name, key in _KEYS.items():
        own = getattr(backbone, name, None)
        if cfg.MODEL.BACKBONE.PRETRAIN and own is not None and not np.allclose(found[name], own, rtol=1e-3):
            logger.warning(
                "MODEL.%s is %s, but published weights of the backbone expect %s; set it to [] to use these",
                key,
                found[name],
                list(own),
            )
    return found
