"""What docs/weights.md tells to write builds, and reads what it says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.modeling.foreign import FOREIGN_WEIGHTS_REGISTRY
from fastreid.utils.weights import load_weights

_ROOT = Path(__file__).parents[3]
_BLOCK = re.compile(r"^```(?P<kind>python|yaml)\n# (?P<name>[\w.]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCKS = {block["name"]: block["text"] for block in _BLOCK.finditer((_ROOT / "docs" / "weights.md").read_text())}


@pytest.mark.parametrize("name", [name for name in _BLOCKS if name.endswith(".yml")])
def test_its_configs_build(tmp_path, monkeypatch, name):
    (tmp_path / "configs").symlink_to(_ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(_BLOCKS[name])
    cfg = get_cfg()
    cfg.merge_from_file(name)
    with torch.device("meta"):
        assert not any("bottleneck" in key for key in build_model(cfg).state_dict())


def test_its_scheme_loads(cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(FOREIGN_WEIGHTS_REGISTRY, "_objects", dict(FOREIGN_WEIGHTS_REGISTRY._objects))
    (tmp_path / "my_weights.py").write_text(_BLOCKS["my_weights.py"])
    runpy.run_path(str(tmp_path / "my_weights.py"))
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.FEAT_DIM = "build_resnet_backbone", "18x", 512
    model = build_model(cfg)
    names = {"backbone.": "trunk.", "heads.bottleneck.0.": "neck."}
    state = {}
    for key, value in model.state_dict().items():
        for ours, theirs in names.items():
            if key.startswith(ours):
                state[theirs + key.removeprefix(ours)] = value.clone().add_(1)
    report = load_weights(model, state, source="a file")
    assert report.misfits() == ""
    assert torch.equal(model.heads.bottleneck[0].running_var, state["neck.running_var"])
