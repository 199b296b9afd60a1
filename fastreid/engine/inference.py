"""What evaluation and prediction run: the model itself, or a faster equal of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import CfgNode
from ..layers.fold_batch_norm import FoldingError, fold_batch_norms
from ..utils.weights import unwrap_model
from .amp import resolve_amp_dtype

__all__ = ["AutocastModel", "image_shape", "inference_model"]

logger = logging.getLogger(__name__)


class AutocastModel(nn.Module):
    """Run a model in half precision and return its embeddings as float32.

    Args:
        model: called with a batch dict or a tensor; it is not copied.
        dtype: ``torch.bfloat16`` or ``torch.float16``.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.device_type = next(model.parameters()).device.type

    def forward(self, batched_inputs: Mapping[str, Any] | Tensor) -> Any:
        """Embed a batch; outputs that are no tensor are returned as they are."""
        with torch.autocast(self.device_type, dtype=self.dtype):
            outputs = self.model(batched_inputs)
        return outputs.float() if isinstance(outputs, Tensor) else outputs


def inference_model(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """Return what to embed images with, as ``TEST.FOLD_BN`` and ``TEST.AMP`` ask, and log what that is.

    Args:
        cfg: the config.
        model: the model, or its data-parallel wrapper; it is not changed, and with neither option it is what returns.

    Raises:
        ValueError: if ``TEST.AMP.DTYPE`` is unknown, or float16 on a CPU.
    """
    fast, path = model, "float32"
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if cfg.TEST.FOLD_BN:
        try:
            fast, count = fold_batch_norms(unwrap_model(model), {"images": _two_images(cfg)})
            path += f", {count} batch norms folded"
        except FoldingError as error:
            logger.warning("TEST.FOLD_BN is on, but the model is used as it is: %s", error)
    dtype = resolve_amp_dtype(cfg.TEST.AMP.ENABLED, cfg.TEST.AMP.DTYPE, device, key="TEST.AMP")
    if dtype is not None:
        fast = AutocastModel(fast, dtype)
        path = path.replace("float32", str(dtype).removeprefix("torch."))
    logger.info("Inference on %s in %s%s", device.type, path, ", channels_last" if cfg.MODEL.CHANNELS_LAST else "")
    return fast


def image_shape(cfg: CfgNode) -> tuple[int, int, int]:
    """Return channels, height and width of the images of ``INPUT.SIZE_TEST``; 256 x 128 where they keep their size.

    Raises:
        ValueError: if ``INPUT.SIZE_TEST`` is empty.
    """
    if not cfg.INPUT.SIZE_TEST:
        raise ValueError("INPUT.SIZE_TEST is empty; give [height, width] in pixels")
    height, width = (*cfg.INPUT.SIZE_TEST, cfg.INPUT.SIZE_TEST[0])[:2]
    if height <= 0:
        height, width = 256, 128
    return len(cfg.MODEL.PIXEL_MEAN) or 3, height, width


def _two_images(cfg: CfgNode) -> Tensor:
    """Return two images of noise, of the size that the model is tested with."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, *image_shape(cfg)), dtype=torch.uint8, generator=generator)
