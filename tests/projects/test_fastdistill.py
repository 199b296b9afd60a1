"""projects/FastDistill: its recipes build, and its parts have v1.3's names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from fastreid.config import get_cfg
from fastreid.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, build_model
from fastreid.utils.custom_imports import import_custom_modules
from fastreid.utils.weights import load_weights

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "FastDistill"
RECIPES = sorted((PROJECT / "configs").glob("*.yml"))


@pytest.fixture(autouse=True)
def _only_here(monkeypatch):
    """What the project registers is gone after each test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for registry in (BACKBONE_REGISTRY, META_ARCH_REGISTRY):
        monkeypatch.setattr(registry, "_objects", dict(registry._objects))
    yield
    for name in ("distiller_overhaul", "resnet_distill"):
        sys.modules.pop(name, None)


def recipe(path):
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    return cfg


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds_a_model_with_the_old_names(path):
    with torch.device("meta"):
        model = build_model(recipe(path))
    own = {key for key in model.state_dict() if not key.startswith(("backbone.", "heads."))}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted = {f"connectors_0.{j}.{key}" for j in range(4) for key in ("0.weight", *(f"1.{name}" for name in norm))}
    assert own == wanted | {f"margin0_{j}" for j in range(4)}
    shapes = [tuple(model.state_dict()[f"connectors_0.{j}.0.weight"].shape) for j in range(4)]
    assert shapes == [(4 * width, width, 1, 1) for width in (64, 128, 256, 512)]


def test_its_state_dict_loads_again_by_either_way():
    cfg = recipe(PROJECT / "configs" / "overhaul_R18_synthreid.yml")
    trained, first, second = (build_model(cfg) for _ in range(3))
    state = trained.state_dict()
    before = list(state)
    first.load_state_dict(state)
    load_weights(second, state, source="itself")
    assert list(state) == before
    for model in (first, second):
        torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)


def relu_first(net, x):
    """v1.3's order: each block begins with the ReLU of what it is given, and the network ends with one."""
    x = net.maxpool(F.relu(net.bn1(net.conv1(x))))
    stages = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            x = F.relu(x)
            out = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
            x = out + (x if block.downsample is None else block.downsample(x))
        stages.append(x)
    return stages, F.relu(x)


def test_where_the_relu_stands_changes_nothing():
    cfg = recipe(PROJECT / "configs" / "overhaul_R18_synthreid.yml")
    cfg.MODEL.BACKBONE.WITH_NL = True  # is not heeded
    net = BACKBONE_REGISTRY.get("build_resnet_backbone_distill")(cfg).eval()
    assert not [key for key in net.state_dict() if key.startswith("NL_")]
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        (wanted, last), (stages, out), plain = relu_first(net, x), net.pre_relu_features(x), net(x)
    torch.testing.assert_close(stages, wanted)
    torch.testing.assert_close(out, last)
    torch.testing.assert_close(plain, last)
    assert all((stage < 0).any() for stage in stages)
