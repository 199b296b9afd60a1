from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fastreid.config import CfgNode
from fastreid.utils.weights import LoadReport, load_weights, read_state_dict

from .networks import CLASSES, DIM, small_layouts

Load = Callable[..., LoadReport]


@pytest.fixture
def cfg(cfg: CfgNode, monkeypatch: pytest.MonkeyPatch) -> CfgNode:
    """A vision transformer as small as the networks of :mod:`.networks`."""
    small_layouts(monkeypatch)
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_vit_backbone", "tiny"
    cfg.MODEL.BACKBONE.FEAT_DIM, cfg.MODEL.HEADS.NUM_CLASSES = DIM, CLASSES
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [64, 32]
    return cfg


@pytest.fixture
def load(tmp_path, caplog: pytest.LogCaptureFixture) -> Load:
    """A function that stores a state dict, or what else a file holds, and loads the file into a model."""

    def run(model: nn.Module, content: Any, **options: Any) -> LoadReport:
        path = str(tmp_path / "foreign.pth")
        torch.save(content.state_dict() if isinstance(content, nn.Module) else content, path)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            return load_weights(model, read_state_dict(path), source=path, **options)

    return run


@pytest.fixture
def images() -> torch.Tensor:
    """Three images of 64 x 32 pixels."""
    return torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(0))
