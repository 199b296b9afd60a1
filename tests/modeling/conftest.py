from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from fastreid.config import CfgNode, get_cfg


@pytest.fixture
def cfg() -> CfgNode:
    """The defaults, made small and placed on the CPU."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.DEPTH = "18x"
    cfg.MODEL.BACKBONE.FEAT_DIM = 512
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    cfg.MODEL.HEADS.WITH_BNNECK = True
    return cfg


@pytest.fixture(scope="session")
def published_shapes(shared_dir: Path) -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the tensors of the older library, by variant."""
    with gzip.open(shared_dir / "compat" / "state_dict_keys.json.gz", "rt") as file:
        return json.load(file)


@pytest.fixture(scope="session")
def reference_outputs(shared_dir: Path) -> dict[str, np.ndarray]:
    """What the older library computes with weights that are a function of their names."""
    with np.load(shared_dir / "compat" / "reference_outputs.npz") as file:
        return dict(file)
