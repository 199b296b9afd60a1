"""The model report: counts by hand for a small network, and the tool from its command line to its file."""

from __future__ import annotations

import json
import logging
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fastreid.benchmark import model_info
from fastreid.benchmark.model_info import GroupCost, count_costs, model_report, report_text
from fastreid.config import get_cfg, get_config_file
from fastreid.engine import amp

_TOOL = Path(__file__).parents[2] / "tools" / "model_info.py"
_RECIPE = "Market1501/bagtricks_R50.yml"
_SMALL = ("MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", 512, "MODEL.DEVICE", "cpu")
_SPEED = {"images_per_second", "seconds", "peak_memory_mib", "batch", "repeats", "device", "dtype"}


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.stage = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x):
        x = self.stem(x)
        for layer in self.stage:  # the stage itself never runs
            x = layer(x)
        return x


class Net(nn.Module):
    """A network with something in every place: parts of parts, a part, and the model itself."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.heads = nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.ones(5, 2))
        self.idle = nn.ReLU()

    def forward(self, x):
        return self.heads(self.backbone(x).mean(dim=(2, 3))) @ self.scale  # (N, 2)


# For 8 x 6 pixels, maps of 4 x 3: output values times the multiply-adds of each, times two.
_STEM = GroupCost("backbone.stem", 4 * 3 * 9 + 4, 2 * (4 * 4 * 3) * (3 * 9))
_STAGE = GroupCost("backbone.stage", 6 * 2 + 6 + 6, 2 * (6 * 4 * 3) * 2)
_HEADS = GroupCost("heads", 6 * 5 + 5, 2 * 5 * 6)
_ITSELF = GroupCost("", 5 * 2, 2 * 2 * 5)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("batch", [1, 3])
def test_counts_are_those_by_hand(device, batch):
    images = torch.zeros(batch, 3, 8, 6, device=device)
    model = Net().to(device).eval()
    costs, output = count_costs(model, images)
    assert costs == [_ITSELF, _STEM, _STAGE, _HEADS]
    assert output.shape == (batch, 2)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_depth_cuts_the_names():
    images = torch.zeros(1, 3, 8, 6)
    backbone = GroupCost("backbone", _STEM.parameters + _STAGE.parameters, _STEM.flops + _STAGE.flops)
    assert count_costs(Net().eval(), images, depth=1)[0] == [_ITSELF, backbone, _HEADS]
    deep = count_costs(Net().eval(), images, depth=3)[0]
    assert [cost.name for cost in deep] == ["", "backbone.stem", "backbone.stage.0", "backbone.stage.1", "heads"]


def test_a_shared_part_is_stored_once_and_computed_twice():
    layer = nn.Linear(4, 4, bias=False)
    costs, _ = count_costs(nn.Sequential(layer, layer), torch.zeros(1, 4))
    assert costs == [GroupCost("0", 16, 2 * 2 * 16)]


def configure(*settings):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(_RECIPE))
    cfg.merge_from_list([*_SMALL, "INPUT.SIZE_TEST", [32, 16], *settings])
    return cfg


def test_the_report_of_a_recipe(monkeypatch):
    monkeypatch.setattr(amp, "cpu_has_bfloat16", lambda: True)
    cfg = configure("MODEL.HEADS.NUM_CLASSES", 7, "TEST.AMP.ENABLED", True, "TEST.FOLD_BN", True)
    before = cfg.dump()
    report = model_report(cfg, batch=3, repeats=2)
    assert cfg.dump() == before
    assert cfg.MODEL.BACKBONE.PRETRAIN  # and yet nothing was downloaded
    assert (report["input"], report["embedding"], report["model"]) == ([3, 32, 16], 512, "Baseline")
    by_name = {group["name"]: group for group in report["groups"]}
    assert list(by_name) == [
        "backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2", "backbone.layer3", "backbone.layer4",
        "heads", "heads.bottleneck",
    ]  # fmt: skip
    assert by_name["backbone.conv1"] == {
        "name": "backbone.conv1", "parameters": 64 * 3 * 49, "flops": 2 * (64 * 16 * 8) * (3 * 49),
    }  # fmt: skip
    assert by_name["backbone.layer1"]["flops"] == 4 * 2 * (64 * 8 * 4) * (64 * 9)
    assert by_name["heads"]["parameters"] == 7 * 512
    # torchvision's ResNet-18 has 11,689,512 parameters, 513,000 of them in the classifier
    assert report["total"]["parameters"] == 11_689_512 - 513_000 + 2 * 512 + 7 * 512
    for key in ("parameters", "flops"):
        assert report["total"][key] == sum(group[key] for group in report["groups"])
    speed = report["speed"]
    assert set(speed) == _SPEED
    assert speed["images_per_second"] * speed["seconds"] == pytest.approx(3)
    assert speed["seconds"] > 0
    assert speed["peak_memory_mib"] >= 0
    assert (speed["batch"], speed["repeats"], speed["device"], speed["dtype"]) == (3, 2, "cpu", "bfloat16")


def test_what_is_measured_is_what_evaluation_runs(monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        report = model_report(configure("TEST.FOLD_BN", True), batch=2, repeats=1)
    assert "Inference on cpu in float32, 20 batch norms folded" in caplog.messages
    assert report["speed"]["dtype"] == "float32"


def test_counting_alone_builds_nothing_and_knows_no_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("nothing is to be measured")

    monkeypatch.setattr(model_info, "inference_model", refuse)
    report = model_report(configure("MODEL.DEVICE", "cuda:99"), speed=False)
    assert report["speed"] is None
    assert report["embedding"] == 512
    with pytest.raises(ValueError, match=r"MODEL\.DEVICE is 'cuda:99'"):
        model_report(configure("MODEL.DEVICE", "cuda:99"))


@pytest.mark.parametrize(
    ("output", "found"), [(torch.zeros(1, 2, 3), r"\(1, 2, 3\)"), ({"features": torch.zeros(1, 2)}, "dict")]
)
def test_a_model_that_does_not_embed(monkeypatch, output, found):
    class Other(nn.Module):
        def forward(self, x):
            return output

    monkeypatch.setattr(model_info, "build_model", lambda cfg: Other())
    with pytest.raises(ValueError, match=rf"Baseline must return embeddings \(N, D\) in eval mode, got {found}"):
        model_report(configure(), speed=False)


@pytest.mark.parametrize("name", ["batch", "repeats", "depth"])
def test_numbers_start_at_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        model_report(configure(), **{name: 0})


def test_no_input_size_is_an_error():
    with pytest.raises(ValueError, match=r"INPUT\.SIZE_TEST is empty; give \[height, width\]"):
        model_report(configure("INPUT.SIZE_TEST", []), speed=False)


def test_the_text_has_every_figure():
    report = {
        "model": "Baseline",
        "backbone": "tiny 1x",
        "input": [3, 8, 6],
        "embedding": 2,
        "groups": [vars(_ITSELF), {"name": "backbone", "parameters": 30, "flops": 3_000_000}],
        "total": {"name": "total", "parameters": 40, "flops": 3_000_020},
        "speed": None,
    }
    text = report_text(report)
    assert "Baseline with tiny 1x: an image of 3 x 8 x 6 (C x H x W) becomes 2 numbers" in text
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[2:] == [
        ["(model)", "10", "25.0", "0.000", "0.0"],
        ["backbone", "30", "75.0", "0.003", "100.0"],
        ["total", "40", "100.0", "0.003", "100.0"],
    ]
    assert "images/s" not in text
    report["speed"] = {
        "images_per_second": 32.0, "seconds": 0.125, "peak_memory_mib": 7.4, "batch": 4, "repeats": 3, "device": "cpu",
        "dtype": "float32",
    }  # fmt: skip
    assert (
        "32.0 images/s on cpu in float32: batches of 4, 0.1250 s each, median of 3; peak memory 7 MiB above the model."
        in report_text(report)
    )


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(_TOOL), *map(str, arguments)])
    runpy.run_path(str(_TOOL), run_name="__main__")


def test_the_tool_prints_a_table_and_writes_a_file(monkeypatch, tmp_path, capsys):
    output = tmp_path / "model.json"
    size = ("INPUT.SIZE_TEST", "[32,16]")
    few = ("--batch-size", 2, "--repeats", 1, "--json", output)
    run_tool(monkeypatch, "--config-file", _RECIPE, *few, *_SMALL, *size)
    report = json.loads(output.read_text())
    assert capsys.readouterr().out.strip() == report_text(report).strip()
    assert set(report["speed"]) == _SPEED
    run_tool(monkeypatch, "--config-file", _RECIPE, "--no-speed", "--depth", 1, *_SMALL, *size)
    printed = capsys.readouterr().out
    assert "| backbone | " in printed
    assert "backbone.conv1" not in printed
    assert "images/s" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-file", "Market1501/bagtricks_R5.yml"], "no config file .*Did you mean 'Market1501/bagtricks_R50"),
        (["--config-file", _RECIPE, "MODEL.BACKBONE.DEPTH", "7x"], "^MODEL.BACKBONE.DEPTH is '7x', but"),
        (["--config-file", _RECIPE, "MODEL.BACKBONE.FEAT_DIM", 3], "set MODEL.BACKBONE.FEAT_DIM 2048"),
        (["--config-file", _RECIPE, "MODEL.DEPHT", 3], "no config key MODEL.DEPHT"),
        (["--config-file", _RECIPE, "CUSTOM_IMPORTS", "['nowhere.py']"], "nowhere.py"),
        (["--config-file", _RECIPE, "CUSTOM_IMPORTS", "['no_such_module']"], "names the module 'no_such_module'"),
        (["--config-file", _RECIPE, "--batch-size", 0], "batch must be at least 1, got 0"),
        (["--config-file", _RECIPE, "--json", "/nowhere/model.json"], "--json /nowhere/model.json: there is no such"),
    ],
)
def test_the_tool_says_what_is_wrong(monkeypatch, arguments, message):
    with pytest.raises(SystemExit, match=message):
        run_tool(monkeypatch, *arguments)
