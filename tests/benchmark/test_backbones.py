"""The comparison of backbones: what is counted, what is read from the command line, what the tool prints."""

from __future__ import annotations

import json
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fastreid.benchmark.backbones import (
    COMPARED,
    BackboneCost,
    backbone_costs,
    compare_backbones,
    costs_text,
    parse_backbones,
)
from fastreid.config import get_cfg
from fastreid.modeling import BACKBONE_REGISTRY

_ROOT = Path(__file__).parents[2]


def small():
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", [64, 32], "INPUT.SIZE_TEST", [64, 32]])
    return cfg


def test_a_backbone_is_counted_alone_and_timed():
    cfg = small()
    cfg.merge_from_list(["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.PRETRAIN", True])  # nothing is downloaded
    before = cfg.dump()
    cost = backbone_costs(cfg, batch=2, repeats=1)
    assert cfg.dump() == before
    assert (cost.name, cost.depth, cost.size, cost.shape) == ("build_resnet_backbone", "18x", (64, 32), (512, 4, 2))
    assert cost.parameters == 11_689_512 - 513_000  # torchvision's ResNet-18 without its classifier
    assert cost.flops > 2 * 2 * (64 * 32 * 16) * (3 * 49)  # more than its first convolution
    assert cost.images_per_second > 0
    assert backbone_costs(cfg, speed=False) == BackboneCost(**{**vars(cost), "images_per_second": None})


def test_each_has_its_own_size():
    backbones = [("build_osnet_backbone", "x0_25", None), ("build_osnet_backbone", "x0_25", (128, 64))]
    one, two = compare_backbones(small(), backbones, speed=False)
    assert (one.shape[1:], two.shape[1:]) == ((4, 2), (8, 4))
    assert two.flops > 3.9 * one.flops


def test_what_is_compared_exists():
    found = parse_backbones("all")
    assert len(found) == len(set(found)) == len(COMPARED) >= 30
    assert {name for name, _, _ in found} <= set(BACKBONE_REGISTRY)
    page = (_ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    for name, depth, size in found:
        image = "256 × 128" if size is None else " × ".join(map(str, size))
        assert any(f"`{name}`" in line and f"`{depth}`" in line and f" {image} " in line for line in page.splitlines())


def test_names_are_short_or_whole():
    assert parse_backbones("resnet:18x, build_my_net:a:64x32") == [
        ("build_resnet_backbone", "18x", None),
        ("build_my_net", "a", (64, 32)),
    ]


@pytest.mark.parametrize("text", ["", "resnet", "resnet:18x:64", "resnet:18x:64x", "resnet:18x:64x32:1"])
def test_what_is_no_backbone_is_said(text):
    with pytest.raises(ValueError, match="is no backbone; write NAME:DEPTH or NAME:DEPTH:HEIGHTxWIDTH"):
        parse_backbones(text)


def test_the_text_is_a_table():
    cost = BackboneCost("build_a", "1x", (64, 32), (8, 4, 2), 1_250_000, 2_500_000_000, 12.34)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in costs_text([cost]).splitlines()]
    assert cells[0] == ["NAME", "DEPTH", "image", "feature map", "parameters, M", "GFLOPs", "images/s"]
    assert cells[2] == ["`build_a`", "`1x`", "64 × 32", "8 × 4 × 2", "1.2", "2.5", "12.3"]


def run_tool(monkeypatch, *arguments):
    tool = str(_ROOT / "tools" / "model_info.py")
    monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
    runpy.run_path(tool, run_name="__main__")


@pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")
def test_the_tool_compares(monkeypatch, tmp_path, capsys):
    options = ("INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[64,32]")
    output = tmp_path / "costs.json"
    backbones = "osnet:x0_25,timm:test_vit"
    run_tool(monkeypatch, "--backbones", backbones, "--no-speed", "--json", output, *options)
    printed = capsys.readouterr().out
    assert "| `build_timm_backbone`  | `test_vit` | 64 × 32 | 64 × 1 × 1" in printed
    assert [cost["depth"] for cost in json.loads(output.read_text())] == ["x0_25", "test_vit"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "give --config-file, the model to describe, or --backbones"), (("--backbones", "a:b"), "build_a_backbone")],
)
def test_the_tool_says_what_is_missing(monkeypatch, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run_tool(monkeypatch, *arguments)
