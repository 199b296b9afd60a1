"""The command line of tools/visualize_results.py: from a checkpoint, and from saved features."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import CfgNode
from fastreid.data.storage import pack_dataset
from fastreid.modeling import build_model

from ...engine.tiny import tiny_cfg, write_market

_TOOL = Path(__file__).parents[3] / "tools" / "visualize_results.py"


def draw(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(_TOOL), *map(str, arguments)])
    runpy.run_path(str(_TOOL), run_name="__main__")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A config file and the weights of two models."""
    root = write_market(tmp_path_factory.mktemp("market"), contrast=0.2)
    folder = tmp_path_factory.mktemp("model")
    cfg = tiny_cfg(root, folder)
    (folder / "config.yml").write_text(cfg.dump())
    cfg.MODEL.HEADS.NUM_CLASSES = 6
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save({"model": build_model(cfg).state_dict()}, folder / f"{seed}.pth")
    return folder


def index(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_old_flags_and_saved_features_give_the_same_pictures(monkeypatch, tmp_path, capsys, model):
    flags = ("--vis-label", "--num-vis", 5, "--rank-sort", "descending", "--label-sort", "descending", "--max-rank", 4)
    checkpoint = ("--config-file", model / "config.yml", "--parallel", "--dataset-name", "Market1501")
    weights = ("MODEL.WEIGHTS", model / "0.pth")
    draw(monkeypatch, *checkpoint, "--output", tmp_path / "a", *flags, "--opts", *weights)
    assert f"{tmp_path / 'a'}: 5 rank lists, 0.jpg to 4.jpg" in capsys.readouterr().out
    rows = index(tmp_path / "a")
    precision = [float(row["AP"]) for row in rows]
    assert precision == sorted(precision, reverse=True)
    assert not (tmp_path / "a" / "roc.jpg").exists()

    written = (tmp_path / "a" / "features" / "features.npy").stat().st_mtime_ns
    draw(monkeypatch, *checkpoint, "--output", tmp_path / "a", *flags, *weights, "TEST.ROC.ENABLED", True)
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["Market1501"]["mAP"] > 0 and (tmp_path / "a" / "roc.jpg").stat().st_size > 5000
    assert (tmp_path / "a" / "features" / "features.npy").stat().st_mtime_ns == written
    draw(
        monkeypatch,
        "--features",
        tmp_path / "a" / "features",
        "--output",
        tmp_path / "b",
        *flags,
        "MODEL.DEVICE",
        "cpu",
    )
    for number in range(5):
        assert (tmp_path / "a" / f"{number}.jpg").read_bytes() == (tmp_path / "b" / f"{number}.jpg").read_bytes()

    with pytest.raises(SystemExit, match="features of another model"):
        draw(monkeypatch, *checkpoint, "--output", tmp_path / "a", "--opts", "MODEL.WEIGHTS", model / "1.pth")


def test_queries_are_chosen_and_junk_is_hidden(monkeypatch, tmp_path, model):
    checkpoint = ("--config-file", model / "config.yml", "--output", tmp_path / "a", "--max-rank", 3)
    weights = ("--opts", "DATASETS.TESTS", "('Market1501',)", "MODEL.WEIGHTS", model / "0.pth")
    draw(monkeypatch, *checkpoint, "--sort", "identity", "--camera", "0", "--num-vis", 4, *weights)
    assert [row["identity"] for row in index(tmp_path / "a")] == ["101", "102", "103", "104"]
    assert {row["camera"] for row in index(tmp_path / "a")} == {"0"}
    sizes = [Image.open(tmp_path / "a" / f"{i}.jpg").width for i in range(4)]
    features = ("--features", tmp_path / "a" / "features", "--output", tmp_path / "b", "--max-rank", 3)
    only = ("--sort", "identity", "--identity", "102", "101", "--camera", "0", "--no-junk", "--workers", 2)
    draw(monkeypatch, *features, *only)
    assert [row["identity"] for row in index(tmp_path / "b")] == ["101", "102"]
    widths = [Image.open(tmp_path / "b" / f"{i}.jpg").width for i in range(2)]
    assert widths[0] == widths[1] <= min(sizes) < max(sizes)
    draw(monkeypatch, *features, "--identity", "102", "101", "TEST.METRIC", "euclidean")  # settings without --opts
    assert {row["identity"] for row in index(tmp_path / "b")} == {"101", "102"}
    assert "METRIC: euclidean" in (tmp_path / "b" / "config.yaml").read_text()
    orders = []
    for seed in (0, 0, 1):
        draw(monkeypatch, *features, "--sort", "random", "--seed", seed)
        orders.append([row["img_path"] for row in index(tmp_path / "b")])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("options", [(), ("--actmap",)])
def test_images_may_be_in_a_storage(monkeypatch, tmp_path, model, options):
    with (model / "config.yml").open() as file:
        root = CfgNode.load_cfg(file).DATASETS.ROOT
    pack_dataset("Market1501", str(tmp_path / "market.pack"), root=root)
    checkpoint = ("--config-file", model / "config.yml", "--num-vis", 2, "--max-rank", 3, *options)
    weights = ("--opts", "MODEL.WEIGHTS", model / "0.pth", "DATASETS.TESTS", "('Market1501',)")
    stored = ("DATASETS.ROOT", tmp_path / "nothing", "DATASETS.STORAGE", f"('{tmp_path / 'market.pack'}',)")
    draw(monkeypatch, *checkpoint, "--output", tmp_path / "a", *weights)
    draw(monkeypatch, *checkpoint, "--output", tmp_path / "b", *weights, *stored)
    if not options:  # which need the model
        features = ("--features", tmp_path / "b" / "features")
        draw(monkeypatch, *features, "--output", tmp_path / "c", *checkpoint[2:], *stored)
    for number in range(2):
        wanted = (tmp_path / "a" / f"{number}.jpg").read_bytes()
        assert (tmp_path / "b" / f"{number}.jpg").read_bytes() == wanted
        assert options or (tmp_path / "c" / f"{number}.jpg").read_bytes() == wanted


def test_activation_maps_lie_over_all_images(monkeypatch, tmp_path, model):
    checkpoint = ("--config-file", model / "config.yml", "--num-vis", 2, "--max-rank", 3, "--output", tmp_path)
    weights = ("--opts", "MODEL.WEIGHTS", model / "0.pth", "DATASETS.TESTS", "('Market1501',)")
    plain, painted = [], []
    for options, pictures in (((), plain), (("--actmap",), painted), (("--actmap", "energy"), painted)):
        draw(monkeypatch, *checkpoint, *options, *weights[options == ("--actmap",) :])  # once without --opts
        pictures += [np.asarray(Image.open(tmp_path / f"{i}.jpg")).astype(int) for i in range(2)]
    for before, after, named in zip(plain, painted[:2], painted[2:], strict=True):
        np.testing.assert_array_equal(after, named)  # energy is what this model has
        changed = np.abs(before - after).max(axis=2) > 30  # (H, W)
        assert changed.mean() > 0.1 and not changed[:70].any()  # images, and not the header


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name --features FOLDER, or --config-file FILE"),
        (("--features", "f", "--actmap"), "--actmap needs a checkpoint"),
        (("--features", "f", "--dataset-name", "x"), "are for a checkpoint"),
        (("--features", "f", "--max-rank", "ten"), "argument --max-rank: invalid int value: 'ten'"),
        (("--config-file", "c", "--gallery", "g"), "name --features FOLDER"),
        (("--features", "f", "--sort", "best"), "invalid choice: 'best'"),
    ],
)
def test_what_does_not_fit_together_is_said(monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        draw(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features", "none"), "FileNotFoundError: none has no meta.json"),
        (("--features", "none", "--num-vis", "0"), "ValueError: --num-vis must be at least 1 picture, got 0"),
        (("--features", "none", "--max-rank", "0"), "ValueError: --max-rank must be from 1 to 1000 images, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        draw(monkeypatch, *arguments)
    assert stop.value.code.startswith(message) and "\n" not in stop.value.code


def test_a_config_with_several_test_sets_needs_a_name(monkeypatch, tmp_path, model):
    several = ("--opts", "DATASETS.TESTS", "('Market1501', 'SynthReID')")
    with pytest.raises(SystemExit, match=r"--dataset-name must name one test set; DATASETS\.TESTS has"):
        draw(monkeypatch, "--config-file", model / "config.yml", "--output", tmp_path, *several)
