"""Whose cameras a model with side information knows: of its training set, or of the checkpoint that it comes from."""

from __future__ import annotations

import logging
from typing import Any

import yaml

from ..config import CfgNode
from ..utils.file_io import PathManager
from ..utils.weights import read_file

__all__ = ["take_cameras_of_checkpoint", "with_cameras_of"]

logger = logging.getLogger(__name__)


def with_cameras_of(cfg: CfgNode, train_set: Any) -> CfgNode:
    """Return the config with the cameras of a training set in ``SIE_CAMERAS``, where it wants them and names none.

    Args:
        cfg: not changed.
        train_set: has ``cams``, its different cameras, sorted.

    Raises:
        ValueError: if the training set does not tell its cameras.
    """
    node = cfg.MODEL.BACKBONE
    if not node.WITH_SIE or node.SIE_CAMERAS:
        return cfg
    if not hasattr(train_set, "cams"):
        raise ValueError(
            f"MODEL.BACKBONE.WITH_SIE is True, but a training set of {type(train_set).__name__} does not tell its "
            "cameras; give their names in MODEL.BACKBONE.SIE_CAMERAS, or set WITH_SIE False"
        )
    cfg = cfg.clone()
    _set_cameras(cfg, [str(name) for name in train_set.cams])
    logger.info("Cameras with an embedding: %s", ", ".join(cfg.MODEL.BACKBONE.SIE_CAMERAS))
    return cfg


def take_cameras_of_checkpoint(cfg: CfgNode) -> None:
    """Put the cameras of the checkpoint ``MODEL.WEIGHTS`` into ``SIE_CAMERAS``, in place, where the config names none.

    A recipe does not say which cameras its training set has; the config inside a checkpoint does. Without a checkpoint,
    or with one of others, nothing happens.
    """
    node = cfg.MODEL.BACKBONE
    if not node.WITH_SIE or node.SIE_CAMERAS or not cfg.MODEL.WEIGHTS:
        return
    path = cfg.MODEL.WEIGHTS
    stored = read_file(path if "://" in path else PathManager.get_local_path(path))
    meta = stored.get("meta") or {}
    written = yaml.safe_load(meta.get("config", "")) or {}
    cameras = written.get("MODEL", {}).get("BACKBONE", {}).get("SIE_CAMERAS", [])
    if cameras:
        _set_cameras(cfg, cameras)
        logger.info("The cameras of %s: %s", path, ", ".join(cameras))


def _set_cameras(cfg: CfgNode, cameras: list[str]) -> None:
    frozen = cfg.is_frozen()
    cfg.defrost()
    cfg.MODEL.BACKBONE.SIE_CAMERAS = list(cameras)
    if frozen:
        cfg.freeze()
