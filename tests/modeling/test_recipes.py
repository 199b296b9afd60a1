"""Every shipped config describes a model that can be built."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

from fastreid.config import CfgNode, get_cfg, get_config_file
from fastreid.modeling import build_model

FOLDER = Path(get_config_file("Base-bagtricks.yml")).parent
RECIPES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yml"))


@functools.cache
def embedding_shape(model_options: str, size: tuple[int, ...]) -> tuple[int, ...]:
    """Build a model without memory for its weights, once for all recipes that share it, and embed two images."""
    cfg = get_cfg()
    cfg.merge_from_other_cfg(CfgNode({"MODEL": CfgNode.load_cfg(model_options)}))
    with torch.device("meta"):
        model = build_model(cfg).eval()
    return tuple(model(torch.empty(2, 3, *size, device="meta")).shape)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_its_model(name):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(name))
    if cfg.MODEL.BACKBONE.NAME == "build_timm_backbone":
        pytest.importorskip("timm", reason="needs the extra timm")
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 3
    shape = embedding_shape(cfg.MODEL.dump(), tuple(cfg.INPUT.SIZE_TEST))
    width = cfg.MODEL.HEADS.EMBEDDING_DIM or cfg.MODEL.HEADS.FC_DIM or cfg.MODEL.BACKBONE.FEAT_DIM
    views = 8 if cfg.MODEL.META_ARCHITECTURE == "MGN" else 1
    views += cfg.MODEL.HEADS.JIGSAW.PARTS if cfg.MODEL.HEADS.NAME == "JigsawPatchHead" else 0
    assert shape == (2, width * views)
