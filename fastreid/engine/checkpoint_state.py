"""What a checkpoint says about itself, so that weights can be used without the config that made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..config import CfgNode
from ..data.fingerprint import dataset_fingerprint
from ..evaluation import inference_context
from ..modeling.meta_arch.pixel_statistics import pixel_statistics

__all__ = ["checkpoint_meta", "dataset_fingerprint", "preprocessing_of"]

META_VERSION = 1


def checkpoint_meta(cfg: CfgNode, model: nn.Module, items: Iterable[tuple[str, Any, Any]]) -> dict[str, Any]:
    """Return the ``meta`` of a checkpoint: plain values only.

    Args:
        cfg: the config of the run.
        model: the model, without a data-parallel wrapper.
        items: ``(img_path, pid, camid)`` of the training set.

    Returns:
        ``config`` (YAML), ``preprocessing`` (what an image goes through on its way to the embedding), ``embedding``
        (``dim``, ``metric``, whether it is normalised), ``thresholds`` (by test set; none, before an evaluation
        has found some), ``dataset`` (names and fingerprint).
    """
    return {
        "version": META_VERSION,
        "config": cfg.dump(),
        "preprocessing": preprocessing_of(cfg, model),
        "embedding": {"dim": _embedding_dim(cfg, model), "metric": cfg.TEST.METRIC, "normalized": False},
        "thresholds": {},
        "dataset": {"names": list(cfg.DATASETS.NAMES), "fingerprint": dataset_fingerprint(items)},
    }


def preprocessing_of(cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
    """Return what an image goes through on its way to the embedding: plain values, by name.

    Args:
        cfg: of the model.
        model: its ``backbone`` knows the pixel statistics that the config leaves to it.
    """
    return {
        "size": list(cfg.INPUT.SIZE_TEST),
        "interpolation": cfg.INPUT.INTERPOLATION,
        "channels": "RGB",
        "range": [0, 255],
        **pixel_statistics(cfg, getattr(model, "backbone", None)),
    }


def _embedding_dim(cfg: CfgNode, model: nn.Module) -> int:
    """Measure the width of the embedding with one grey image."""
    device = next(model.parameters()).device
    height, width = (*cfg.INPUT.SIZE_TEST, *cfg.INPUT.SIZE_TEST)[:2]
    image = torch.full((1, 3, height or 64, width or 64), 127, dtype=torch.uint8, device=device)
    with inference_context(model), torch.no_grad():
        return int(model({"images": image}).shape[1])
