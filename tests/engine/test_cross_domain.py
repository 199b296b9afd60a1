"""Several checkpoints on several test sets."""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fastreid.config import get_cfg
from fastreid.engine import DefaultTrainer, cross_domain
from fastreid.engine.checkpoint_config import config_of, load_config_or_stored
from fastreid.engine.cross_domain import checkpoint_of, matrix_csv, matrix_table
from fastreid.utils.env import seed_all_rng

from .tiny import tiny_cfg, write_market

TOOL = Path(__file__).parents[2] / "tools" / "cross_domain.py"
OPTIONS = ("SOLVER.MAX_EPOCH", 1, "TEST.EVAL_PERIOD", 0, "INPUT.SIZE_TEST", [20, 12])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one epoch, with the evaluation of the first one; and a second test set."""
    root = write_market(tmp_path_factory.mktemp("sets"), contrast=0.2)
    folder = tmp_path_factory.mktemp("runs")
    results = {}
    for seed, name in enumerate(("one", "two")):
        seed_all_rng(seed)
        trainer = DefaultTrainer(tiny_cfg(root, folder / name, *OPTIONS, "SEED", seed))
        results[name] = trainer.train()
    other = write_market(tmp_path_factory.mktemp("other"), identities=4, contrast=0.1)
    return folder, f"market:{other / 'Market-1501-v15.09.15'}", results


@pytest.fixture
def counted(monkeypatch):
    """The test sets that were really evaluated."""
    seen, test = [], DefaultTrainer.test.__func__
    monkeypatch.setattr(
        cross_domain.DefaultTrainer,
        "test",
        classmethod(lambda cls, cfg, model: (seen.append(cfg.DATASETS.TESTS[0]), test(cls, cfg, model))[1]),
    )
    return seen


def test_the_matrix_has_the_numbers_of_the_runs_and_is_made_once(runs, tmp_path, counted):
    folder, other, results = runs
    paths = [str(folder / "one"), str(folder / "two" / "model_final.pth")]
    report = cross_domain.cross_domain(paths, ["Market1501", other], str(tmp_path))
    labels = ["one", "model_final.pth"]
    assert report["tests"] == ["Market1501", "Market-1501-v15.09.15"]
    assert list(report["checkpoints"]) == list(report["results"]) == labels
    for label, name in zip(labels, ("one", "two"), strict=True):
        assert report["results"][label]["Market1501"] == pytest.approx(dict(results[name]))
        assert report["checkpoints"][label]["trained_on"] == ["Market1501"]
    elsewhere = [report["results"][label]["Market-1501-v15.09.15"] for label in labels]
    assert elsewhere[0] != elsewhere[1] and all(0 < own["mAP"] < 100 for own in elsewhere)
    assert len(counted) == 4

    assert cross_domain.cross_domain(paths, ["Market1501", other], str(tmp_path)) == report
    assert len(counted) == 4  # nothing was done again
    cross_domain.cross_domain(paths[:1], ["Market1501"], str(tmp_path), ["TEST.METRIC", "euclidean"])
    assert len(counted) == 5  # another config is another cell
    (tmp_path / "model_final.pth" / "Market1501" / "cell.json").unlink()
    cross_domain.cross_domain(paths[1:], ["Market1501", other], str(tmp_path))
    assert counted[5:] == ["Market1501"]
    assert (tmp_path / "model_final.pth" / "Market1501" / "results.json").is_file()
    assert (tmp_path / "one" / "Market1501" / "queries_Market1501.npz").is_file()


def test_a_checkpoint_that_changed_is_evaluated_again(runs, tmp_path, counted):
    folder, _, _ = runs
    path = tmp_path / "model.pth"
    shutil.copy(folder / "one" / "model_final.pth", path)
    first = cross_domain.cross_domain([str(path)], ["Market1501"], str(tmp_path / "out"))
    shutil.copy(folder / "two" / "model_final.pth", path)
    second = cross_domain.cross_domain([str(path)], ["Market1501"], str(tmp_path / "out"))
    assert len(counted) == 2 and first["results"] != second["results"]


def test_what_cannot_be_used_is_named_before_anything_is_computed(runs, tmp_path, counted):
    folder, other, _ = runs
    good, out = str(folder / "one"), str(tmp_path / "out")
    broken = tmp_path / "broken.pth"
    data = torch.load(folder / "one" / "model_final.pth", weights_only=True)
    del data["model"]["backbone.conv.0.weight"]
    torch.save(data, broken)
    gone = tmp_path / "gone.pth"
    config = yaml.safe_load(data["meta"]["config"])
    config["MODEL"]["BACKBONE"]["NAME"] = "build_gone_backbone"
    torch.save({**data, "meta": {**data["meta"], "config": yaml.safe_dump(config)}}, gone)
    bare = tmp_path / "bare.pth"
    torch.save(data["model"], bare)
    for checkpoints, tests, message in (
        ([good, str(broken)], [other], r"the checkpoint .*broken\.pth cannot be used: WeightsMismatch"),
        ([good, str(gone)], [other], r"the checkpoint .*gone\.pth cannot be used: KeyError.*build_gone_backbone"),
        ([good, str(bare)], [other], r"bare\.pth cannot be used: ValueError: it has no config in its meta"),
        ([good, str(tmp_path)], [other], r"cannot be used: FileNotFoundError: the folder .* has none of model_best"),
        ([good, str(tmp_path / "x.pth")], [other], r"x\.pth cannot be used: .*no checkpoint and no folder"),
        ([good], [other, "MSMT17"], r"the test set MSMT17 cannot be used with the config of .*one: RuntimeError"),
        ([good], [other, "Market"], r"the test set Market cannot be used .*: KeyError"),
        ([good], [], "name at least one test set, each once, got none"),
        ([good, good], [other], "name at least one checkpoint, each once"),
    ):
        with pytest.raises(ValueError, match=message):
            cross_domain.cross_domain(checkpoints, tests, out)
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is decided by"):
        cross_domain.cross_domain([good], [other], out, ["MODEL.WEIGHTS", "x.pth"])
    assert counted == []


def test_code_that_a_checkpoint_names_is_not_run(runs, tmp_path):
    folder, _, _ = runs
    data = torch.load(folder / "one" / "model_final.pth", weights_only=True)
    config = yaml.safe_load(data["meta"]["config"])
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')\n")
    config["CUSTOM_IMPORTS"] = [str(tmp_path / "evil.py")]
    path = tmp_path / "model.pth"
    torch.save({**data, "meta": {**data["meta"], "config": yaml.safe_dump(config)}}, path)
    report = cross_domain.cross_domain([str(path)], ["Market1501"], str(tmp_path / "out"))
    assert report["results"]["model.pth"]["Market1501"]["mAP"] > 0
    with pytest.raises(SystemExit, match="was run"):
        cross_domain.cross_domain(
            [str(path)], ["Market1501"], str(tmp_path / "out"), ["CUSTOM_IMPORTS", [str(tmp_path / "evil.py")]]
        )


def test_preprocessing_is_that_of_the_meta(runs, tmp_path):
    folder, _, _ = runs
    path = str(folder / "one" / "model_final.pth")
    data = torch.load(path, weights_only=True)
    assert config_of(path, data).INPUT.SIZE_TEST == [20, 12]
    data["meta"]["preprocessing"] |= {"size": [24, 10], "interpolation": "bilinear", "pixel_mean": [1.0, 2.0, 3.0]}
    data["meta"]["embedding"]["metric"] = "euclidean"
    cfg = config_of(path, data)
    assert (cfg.INPUT.SIZE_TEST, cfg.INPUT.INTERPOLATION) == ([24, 10], "bilinear")
    assert (cfg.MODEL.PIXEL_MEAN, cfg.TEST.METRIC) == ([1.0, 2.0, 3.0], "euclidean")
    del data["meta"]
    assert config_of(path, data).INPUT.SIZE_TEST == [20, 12]  # config.yaml lies beside it
    with pytest.raises(ValueError, match="it has no config in its meta"):
        config_of(str(tmp_path / "model.pth"), data)


def test_without_a_config_file_that_of_the_checkpoint_counts(runs, tmp_path):
    folder, _, _ = runs
    path = str(folder / "one" / "model_final.pth")
    stored = config_of(path, torch.load(path, weights_only=True))
    args = argparse.Namespace(config_file="", opts=["MODEL.WEIGHTS", path, "TEST.IMS_PER_BATCH", 3])
    cfg = load_config_or_stored(args)
    assert cfg.MODEL.BACKBONE == stored.MODEL.BACKBONE
    assert (path, 3) == (cfg.MODEL.WEIGHTS, cfg.TEST.IMS_PER_BATCH)
    assert stored.CUSTOM_IMPORTS and not cfg.CUSTOM_IMPORTS  # code that it names is not run
    assert (cfg.MODEL.DEVICE, cfg.DATASETS.ROOT) == ("auto", get_cfg().DATASETS.ROOT)  # of another machine
    torch.save({"a": torch.ones(1)}, tmp_path / "bare.pth")
    args.opts[1] = str(tmp_path / "bare.pth")
    assert load_config_or_stored(args).MODEL.BACKBONE == get_cfg().MODEL.BACKBONE
    args.config_file = "Market1501/bagtricks_R50.yml"
    assert load_config_or_stored(args).DATASETS.NAMES == ("Market1501",)


def test_the_checkpoint_of_a_folder(tmp_path):
    for name in ("model_0001.pth", "model_final.pth", "model_best.pth"):
        (tmp_path / name).touch()
        (tmp_path / "last_checkpoint").write_text("model_0001.pth")
        assert checkpoint_of(str(tmp_path)) == str(tmp_path / name)


def test_tables():
    report = {
        "tests": ["A", "B"],
        "checkpoints": {"m": {"trained_on": ["A", "C"]}, "n": {"trained_on": ["B"]}},
        "results": {"m": {"A": {"mAP": 1.234}, "B": {"mAP": 2.0, "x": 3}}, "n": {"A": {"mAP": 4.0}, "B": {"mAP": 5.0}}},
    }
    first, second = matrix_table(report, ["mAP", "x"]).split("\n\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in first.split("\n")]
    assert cells[0] == ["mAP", "trained on", "A", "B"]
    assert cells[2:] == [["m", "A, C", "1.23", "2.00"], ["n", "B", "4.00", "5.00"]]
    assert second.split("\n")[2].count("3") == 1
    assert matrix_csv(report, ["mAP", "x"]).split("\n")[:2] == [
        "checkpoint,trained on,A/mAP,A/x,B/mAP,B/x",
        "m,A C,1.234,,2.0,3",
    ]
    with pytest.raises(ValueError, match="no evaluation has a result 'y', only mAP, x"):
        matrix_table(report, ["y"])


def test_the_tool(runs, tmp_path, monkeypatch, capsys):
    folder, _, results = runs
    command = ["x", "--checkpoints", str(folder / "one"), "--tests", "Market1501", "--keys", "mAP", "--output-dir"]
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path), "TEST.BOOTSTRAP.RESAMPLES", "0"])
    runpy.run_path(str(TOOL), run_name="__main__")
    assert f"| {results['one']['mAP']:.2f}" in capsys.readouterr().out
    stored = json.loads((tmp_path / "matrix.json").read_text())
    assert stored["results"]["one"]["Market1501"]["mAP"] == pytest.approx(results["one"]["mAP"])
    assert (tmp_path / "matrix.csv").read_text().startswith("checkpoint,trained on,Market1501/mAP\none,Market1501,")
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path), "DATASETS.TESTS", "x"])
    with pytest.raises(SystemExit, match=r"DATASETS\.TESTS is decided by"):
        runpy.run_path(str(TOOL), run_name="__main__")


@pytest.mark.parametrize("before", ["--tests", "--keys"])
def test_settings_may_follow_a_list_of_names(monkeypatch, before):
    lists = {"--tests": ["Market1501", "MSMT17"], "--keys": ["Rank-1", "ema/mAP"]}
    lists = {**{name: words for name, words in lists.items() if name != before}, before: lists[before]}
    words = [word for name, of in lists.items() for word in (name, *of)]
    command = ["x", "--checkpoints", "one", "--output-dir", "o", *words, "TEST.FLIP.ENABLED", "True"]
    monkeypatch.setattr(sys, "argv", command)
    args = runpy.run_path(str(TOOL), run_name="tool")["arguments"]()
    assert (args.tests, args.keys) == (["Market1501", "MSMT17"], ["Rank-1", "ema/mAP"])
    assert args.opts == ["TEST.FLIP.ENABLED", "True"]
