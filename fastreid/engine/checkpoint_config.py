"""The config that a checkpoint brings along, for tools that are given no other one."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from typing import Any

import yaml

from ..config import CfgNode, get_cfg
from ..utils.checkpoint import read_checkpoint
from ..utils.weights import meta_of
from .setup import load_config

__all__ = ["config_of", "load_config_or_stored", "override_stored"]

logger = logging.getLogger(__name__)


def config_of(path: str, data: Any) -> CfgNode:
    """Return the config that a checkpoint was made with.

    Size, interpolation and pixel statistics of the images, and the metric, are those that its ``meta`` states.

    Args:
        path: of the checkpoint. Without a config in it, the ``config.yaml`` beside it counts.
        data: what the file holds.

    Raises:
        ValueError: if there is no config.
    """
    meta = meta_of(data)
    cfg = get_cfg()
    beside = os.path.join(os.path.dirname(path), "config.yaml")
    if "config" in meta:
        cfg.merge_from_other_cfg(CfgNode(yaml.safe_load(meta["config"])))
    elif os.path.isfile(beside):
        cfg.merge_from_file(beside)
    else:
        raise ValueError(f"it has no config in its meta, and there is no {beside}; put the config of its run there")
    seen = meta.get("preprocessing", {})
    for key, value in (
        ("INPUT.SIZE_TEST", seen.get("size")),
        ("INPUT.INTERPOLATION", seen.get("interpolation")),
        ("MODEL.PIXEL_MEAN", seen.get("pixel_mean")),
        ("MODEL.PIXEL_STD", seen.get("pixel_std")),
        ("TEST.METRIC", meta.get("embedding", {}).get("metric")),
    ):
        if value is not None:
            cfg.merge_from_list([key, value])
    return cfg


def override_stored(cfg: CfgNode, path: str, opts: Sequence[Any]) -> None:
    """Put settings over the config of a checkpoint, in place.

    Code that a checkpoint names in ``CUSTOM_IMPORTS`` is not run: only that of ``opts`` stays.

    Args:
        cfg: of the checkpoint.
        path: of the checkpoint, for the log.
        opts: keys and values, in turn.
    """
    unused = list(cfg.CUSTOM_IMPORTS)
    cfg.CUSTOM_IMPORTS = []
    cfg.merge_from_list(list(opts))
    if unused and not cfg.CUSTOM_IMPORTS:
        logger.warning(
            "%s was made with CUSTOM_IMPORTS %s. Code that a checkpoint names is not run: if something is missing, "
            "give CUSTOM_IMPORTS among the settings",
            path,
            unused,
        )


def load_config_or_stored(args: argparse.Namespace) -> CfgNode:
    """Return the config of a command line; without ``--config-file``, that of the checkpoint, overlaid by its settings.

    What belongs to the machine of the run, the device and where data sets lie, is not taken from a checkpoint.

    Args:
        args: ``config_file``, and ``opts``, keys and values in turn.
    """
    cfg = load_config(args)
    path = cfg.MODEL.WEIGHTS
    if args.config_file or not path:
        return cfg
    data = read_checkpoint(path)
    if "config" not in meta_of(data):
        return cfg
    cfg, plain = config_of(path, data), get_cfg()
    cfg.MODEL.DEVICE, cfg.DATASETS.ROOT, cfg.DATASETS.STORAGE = (
        plain.MODEL.DEVICE,
        plain.DATASETS.ROOT,
        plain.DATASETS.STORAGE,
    )
    override_stored(cfg, path, args.opts)
    logger.info("The config is that of %s, with the settings of the command line", path)
    return cfg
