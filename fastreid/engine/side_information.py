"""Whose cameras a model with side information knows: of its training set, or of the checkpoint that it comes from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import yaml
from torch import Tensor

from ..config import CfgNode
from ..utils.checkpoint import read_checkpoint
from ..utils.weights import meta_of

__all__ = ["camera_fit", "rows_by_camera", "take_cameras_of_checkpoint", "with_cameras_of"]

logger = logging.getLogger(__name__)

_KEY = "backbone.sie_embed"


def with_cameras_of(cfg: CfgNode, train_set: Any) -> CfgNode:
    """Return the config with the cameras of a training set in ``SIE_CAMERAS``, where it wants them and names none.

    Args:
        cfg: not changed.
        train_set: has ``cams``, its different cameras, sorted, or also ``known_cams``, those of them that are known.

    Raises:
        ValueError: if the training set does not tell its cameras, or knows none.
    """
    node = cfg.MODEL.BACKBONE
    if not node.WITH_SIE or node.SIE_CAMERAS:
        return cfg
    if not hasattr(train_set, "cams"):
        raise ValueError(
            f"MODEL.BACKBONE.WITH_SIE is True, but a training set of {type(train_set).__name__} does not tell its "
            "cameras; give their names in MODEL.BACKBONE.SIE_CAMERAS, or set WITH_SIE False"
        )
    cameras = [str(name) for name in getattr(train_set, "known_cams", train_set.cams)]
    if not cameras:
        raise ValueError(
            "MODEL.BACKBONE.WITH_SIE is True, but the camera of no training image is known; set it to False, or tell "
            "the cameras (docs/data.md)"
        )
    cfg = cfg.clone()
    _set_cameras(cfg, cameras)
    logger.info("Cameras with an embedding: %s", ", ".join(cfg.MODEL.BACKBONE.SIE_CAMERAS))
    return cfg


def take_cameras_of_checkpoint(cfg: CfgNode, stored: Any = None) -> None:
    """Put the cameras of a checkpoint into ``SIE_CAMERAS``, in place, where the config names none.

    A recipe does not say which cameras its training set has; the config inside a checkpoint does. Without a checkpoint,
    or with one of others, nothing happens.

    Args:
        cfg: changed.
        stored: what the checkpoint holds; ``None``: that of ``MODEL.WEIGHTS`` is read.
    """
    node = cfg.MODEL.BACKBONE
    if not node.WITH_SIE or node.SIE_CAMERAS or (stored is None and not cfg.MODEL.WEIGHTS):
        return
    cameras = _cameras_of(read_checkpoint(cfg.MODEL.WEIGHTS) if stored is None else stored)
    if cameras:
        _set_cameras(cfg, cameras)
        logger.info("The cameras of the checkpoint: %s", ", ".join(cameras))


def camera_fit(cfg: CfgNode) -> Callable[[dict[str, Tensor], Any], dict[str, Tensor]]:
    """Return the ``adapt`` with which ``Checkpointer.load`` fits weights to the cameras of a config."""
    return partial(rows_by_camera, cameras=cfg.MODEL.BACKBONE.SIE_CAMERAS)


def rows_by_camera(state: dict[str, Tensor], stored: Any, *, cameras: Sequence[str]) -> dict[str, Tensor]:
    """Return weights whose camera embeddings are those of other cameras: each finds its own by name.

    A camera that the checkpoint has not begins with the embedding of one that was never seen.

    Args:
        state: the weights; not changed.
        stored: what the checkpoint holds; without names of cameras in its config the weights stay as they are.
        cameras: of the model, in order.
    """
    table, own = state.get(_KEY), _cameras_of(stored)
    if table is None or not cameras or not own or own == list(cameras) or len(table) != len(own) + 1:
        return state
    places = {name: place for place, name in enumerate(own)}
    new = [name for name in cameras if name not in places]
    logger.info(
        "%d of %d cameras are in the checkpoint; the others begin as one that was never seen: %s",
        len(cameras) - len(new),
        len(cameras),
        ", ".join(new) or "none",
    )
    rows = [places.get(name, len(own)) for name in cameras]
    return {**state, _KEY: table[[*rows, len(own)]]}  # (cameras + 1, 1, D)


def _cameras_of(stored: Any) -> list[str]:
    """Return the names in the config that a checkpoint of this library holds; of others none."""
    try:
        node = yaml.safe_load(meta_of(stored).get("config", ""))
    except yaml.YAMLError:  # Python, in checkpoints of mmdetection
        return []
    for name in ("MODEL", "BACKBONE", "SIE_CAMERAS"):
        node = node.get(name) if isinstance(node, dict) else None
    return list(node) if isinstance(node, list) else []


def _set_cameras(cfg: CfgNode, cameras: list[str]) -> None:
    frozen = cfg.is_frozen()
    cfg.defrost()
    cfg.MODEL.BACKBONE.SIE_CAMERAS = list(cameras)
    if frozen:
        cfg.freeze()
