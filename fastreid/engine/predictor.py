"""Embed images with a trained model, in three lines."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from ..config import CfgNode
from ..modeling import build_model
from ..utils.checkpoint import Checkpointer
from ..utils.custom_imports import import_custom_modules
from ..utils.weights import meta_of
from .inference import inference_model
from .side_information import camera_fit, take_cameras_of_checkpoint

__all__ = ["DefaultPredictor", "load_model"]

logger = logging.getLogger(__name__)


def load_model(cfg: CfgNode) -> tuple[nn.Module, dict[str, Any]]:
    """Build the model of a config, and load ``MODEL.WEIGHTS``.

    Args:
        cfg: not changed, but that side information without ``MODEL.BACKBONE.SIE_CAMERAS`` gets those of the
            checkpoint; ``MODEL.BACKBONE.PRETRAIN`` is not used, since the weights come from the checkpoint.

    Returns:
        The model in eval mode, and the ``meta`` of the checkpoint: an empty dict where it has none. Its thresholds are
        those of the weights that were loaded: of an average (``MODEL.WEIGHTS_KEY``) there are none.

    Raises:
        FileNotFoundError: if the checkpoint is missing.
        WeightsMismatch: if it does not fit.
    """
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    take_cameras_of_checkpoint(cfg)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = build_model(cfg)
    if not cfg.MODEL.WEIGHTS:
        logger.warning("MODEL.WEIGHTS is empty: the embeddings are those of a model that was never trained")
    checkpointer = Checkpointer(model, strict=cfg.MODEL.WEIGHTS_STRICT)
    stored = checkpointer.load(cfg.MODEL.WEIGHTS, weights_key=cfg.MODEL.WEIGHTS_KEY, adapt=camera_fit(cfg))
    meta = meta_of(stored)
    if cfg.MODEL.WEIGHTS_KEY != "model":
        meta = {**meta, "thresholds": {}}
    return model.eval(), meta


class DefaultPredictor:
    """Build the model of a config, load ``MODEL.WEIGHTS``, and embed batches of images.

    Args:
        cfg: not changed; ``MODEL.BACKBONE.PRETRAIN`` is not used, since the weights come from the checkpoint.

    Example:
        >>> predictor = DefaultPredictor(cfg)  # doctest: +SKIP
        >>> predictor(images).shape  # doctest: +SKIP
        torch.Size([8, 2048])
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg.clone()
        self.cfg.defrost()
        self.cfg.MODEL.BACKBONE.PRETRAIN = False
        model, _ = load_model(self.cfg)
        self.model = inference_model(self.cfg, model)

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            image: ``(N, 3, H, W)`` uint8 or float, RGB, 0..255, resized to ``INPUT.SIZE_TEST``; not changed.

        Returns:
            ``(N, D)`` float32 on the CPU, not normalised.
        """
        return self.model({"images": image}).float().cpu()
