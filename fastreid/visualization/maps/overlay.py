"""Lay an activation map over its image."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["overlay"]

_COLOURS = "inferno"


def overlay(image: np.ndarray, activation: np.ndarray | Tensor, *, alpha: float = 0.5) -> np.ndarray:
    """Mix an image with the colours of an activation map: dark violet for 0, orange, pale yellow for 1.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        activation: ``(h, w)`` float in [0, 1]; brought to the image's size, bilinear.
        alpha: share of the colours, in [0, 1]; 0: the image alone.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        ValueError: if an argument has another shape, type or range.
    """
    from matplotlib import colormaps

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    values = torch.as_tensor(activation).detach().float().cpu()
    if values.ndim != 2 or not (values >= 0).all() or not (values <= 1).all():  # NaN is neither
        raise ValueError(f"activation must be (h, w) in [0, 1], got {tuple(values.shape)} with other values or axes")
    large = F.interpolate(values[None, None], image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    colours = 255 * colormaps[_COLOURS](large.clamp(0, 1).numpy())[:, :, :3]  # (H, W, 3)
    return np.rint((1 - alpha) * image + alpha * colours).astype(np.uint8)
