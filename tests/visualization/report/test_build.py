"""A report from features to its folder; the page itself is driven in tests/visualization/test_report_browser.py."""

from __future__ import annotations

import errno
import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.data.storage import pack_dataset
from fastreid.evaluation.rank_lists import JUNK
from fastreid.modeling import build_model
from fastreid.visualization.report import ReportOptions, build, write_report
from fastreid.visualization.sheets import COLUMNS, ROWS, sheet_name

from ...engine.tiny import tiny_cfg, write_market
from .folders import LONELY, judge, write_features, write_images
from .test_payload import loaded

TOOLS = Path(__file__).resolve().parents[3] / "tools"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def rows(place):
    return write_images(place / "images")


@pytest.fixture(scope="module")
def runs(place, rows):
    return judge(write_features(place / "a", rows), write_features(place / "b", rows, seed=1))


@pytest.fixture(scope="module")
def report(place, runs):
    write_report(runs, place / "report", ReportOptions(ranks=6, thumbnail=(16, 32)))
    return place / "report"


def data(report, name):
    found, payload = loaded((report / "data" / f"{name}.js").read_text())
    assert found == name
    return payload


def test_the_page_and_its_data_are_there(report):
    assert sorted(path.name for path in report.iterdir()) == [
        "data", "index.html", "report.json", "scripts", "sheets", "styles",
    ]  # fmt: skip
    named = {path.name for path in (report / "scripts").iterdir()}
    page = (report / "index.html").read_text()
    assert all(f'src="scripts/{name}"' in page for name in named)
    assert all(f'href="styles/{path.name}"' in page for path in (report / "styles").iterdir())
    assert "http" not in page
    assert json.loads((report / "report.json").read_text())["complete"]


def test_what_is_said_first_is_what_was_judged(report, runs):
    meta = data(report, "meta")
    assert meta["counts"] == {
        "queries": 36, "gallery": 72, "identities": 12, "cameras": 3, "shown": 36, "images": 108, "broken": 1,
    }  # fmt: skip
    for own, run in zip(meta["runs"], runs, strict=True):
        numbers = {row["name"]: row for row in own["numbers"]}
        assert {name: numbers[name]["value"] for name in run.results} == dict(run.results)
        assert numbers["mAP"]["interval"] == run.details["intervals"]["mAP"]
        verification = run.details["verification"]
        point = verification["operating_points"]["TPR@FPR=1e-02"]
        assert numbers["TPR@FPR=1e-02"]["interval"] == point["tpr_interval"]
        assert numbers["TPR@FPR=1e-02"]["threshold"] == point["threshold"]
        assert numbers["EER"]["value"] == verification["eer"]
        assert numbers["AUC"]["value"] == 100 * verification["auc"]
        assert numbers["DIR@FAR=1e-01"]["value"] == run.details["open_set"]["operating_points"]["DIR@FAR=1e-01"]["dir"]
        assert own["curves"]["roc"]["y"] == [100 * rate for rate in verification["curve"]["tpr"]]
        assert own["curves"]["cmc"] == run.details["cmc"]
        assert {pair["query"] for pair in own["curves"]["cameraPairs"]} == {"cam 0", "cam 1", "cam 2"}
        assert own["judged"]["protocol"] == "market1501"
        assert own["withoutMatch"] == 3  # the identity without an image in the gallery
        assert len(own["unmatched"]) == 3
    assert meta["runs"][0]["comparison"] is None
    assert meta["runs"][1]["comparison"]["mAP"]["difference"] == pytest.approx(
        runs[1].results["mAP"] - runs[0].results["mAP"]
    )


@pytest.mark.parametrize("number", [0, 1])
def test_every_list_is_the_ranking(report, runs, number):
    run, images, lists = runs[number], data(report, "images"), data(report, f"lists-{number}-0")
    paths = data(report, "paths-0")
    full = [f"{paths['folders'][folder]}/{name}" for folder, name in zip(paths["folder"], paths["names"], strict=True)]
    for query, expected in enumerate(run.lists(range(36), 6)):
        assert full[images["queries"][query]] == run.test.img_paths[expected.query]
        part = slice(*lists["start"][query : query + 2])
        assert [full[image] for image in lists["image"][part]] == [run.test.img_paths[own] for own in expected.places]
        np.testing.assert_array_equal(lists["kind"][part], expected.kinds)
        matches = slice(*lists["matchStart"][query : query + 2])
        np.testing.assert_array_equal(lists["matchRank"][matches], expected.match_ranks)
    assert (lists["kind"] == JUNK).any()
    identities = [images["identities"][code] for code in images["identity"][images["queries"]]]
    assert identities == list(run.test.identities[:36])
    table = data(report, f"queries-{number}")
    assert table["matches"][-3:].tolist() == [0, 0, 0] and identities[-1] == LONELY
    best = np.array([run.ranked.best_others()[query] for query in range(36)])
    np.testing.assert_allclose(table["other"], best, rtol=1e-6)


def test_each_image_is_in_its_cell(report, runs):
    images, paths = data(report, "images"), data(report, "paths-0")
    place = int(images["queries"][5])
    sheet, cell = divmod(place, COLUMNS * ROWS)
    left, top = cell % COLUMNS * 16, cell // COLUMNS * 32
    with Image.open(report / "sheets" / sheet_name(sheet)) as file:
        found = np.asarray(file.crop((left, top, left + 16, top + 32)), dtype=float)
    with Image.open(f"{paths['folders'][paths['folder'][place]]}/{paths['names'][place]}") as file:
        expected = np.asarray(file, dtype=float)
    assert np.abs(found.mean(axis=(0, 1)) - expected.mean(axis=(0, 1))).max() < 4
    precision = runs[0].precision()
    order = np.argsort(precision, kind="stable")
    assert images["queries"][order].tolist() == list(range(36))  # the worst query is in the first cell


def test_only_the_worst_queries(place, runs):
    images = write_report(runs[:1], place / "worst", ReportOptions(ranks=4, queries=5, thumbnail=(16, 32)))
    shown, precision = data(place / "worst", "images"), runs[0].precision()
    worst = np.sort(np.argsort(precision, kind="stable")[:5])
    assert len(shown["queries"]) == 5
    assert [images.paths[image] for image in shown["queries"]] == [runs[0].test.img_paths[query] for query in worst]
    np.testing.assert_allclose(data(place / "worst", "queries-0")["ap"], precision[worst], rtol=1e-6)
    assert data(place / "worst", "meta")["counts"]["queries"] == 36
    assert len(images) < 108


def test_a_full_disk_leaves_nothing(place, runs, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "write_lists", full)
    with pytest.raises(OSError, match=r"cannot write the report .*full: No space left on device .*nothing half-done"):
        write_report(runs[:1], place / "full", ReportOptions(thumbnail=(16, 32), ranks=3))
    assert not [path for path in place.iterdir() if path.name.startswith("full")]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"ranks": 0}, "--ranks must be at least 1, got 0"),
        ({"queries": -1}, "--queries must be at least 0, got -1"),
        ({"thumbnail": (64, 4)}, "--thumbnail must be at least 8, got 4"),
        ({"workers": -1}, "--workers must be at least 0, got -1"),
        ({"actmap": -1}, "--actmap must be at least 0, got -1"),
    ],
)
def test_numbers_out_of_range(option, message):
    with pytest.raises(ValueError, match=message):
        ReportOptions(**option)


def pictures(report):
    return {path.relative_to(report): path.read_bytes() for path in report.rglob("*.jpg")}


def run_tool(*words):
    with (
        mock.patch.object(sys, "argv", ["make_report.py", *map(str, words)]),
        mock.patch.object(sys, "path", list(sys.path)),
    ):
        runpy.run_path(str(TOOLS / "make_report.py"), run_name="__main__")


def test_the_command_from_a_checkpoint_with_activation_maps(tmp_path, capsys):
    root = write_market(tmp_path / "datasets", contrast=0.1)
    cfg = tiny_cfg(root, tmp_path / "model", "MODEL.HEADS.NUM_CLASSES", 6, "MODEL.WEIGHTS", str(tmp_path / "tiny.pth"))
    (tmp_path / "tiny.yml").write_text(cfg.dump())
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "tiny.pth")
    recipe = ["--config-file", tmp_path / "tiny.yml", "--thumbnail", "8x16", "--ranks", 3]
    report = tmp_path / "report"
    run_tool(*recipe, "--dataset-name", "Market1501", "--output", report, "--actmap", 2, "TEST.ROC.ENABLED", False)
    assert f"{report}/index.html: 12 queries" in capsys.readouterr().out
    meta, maps, images = (data(report, name) for name in ("meta", "maps-0", "images"))
    assert meta["maps"] == {"queries": 2}
    assert "roc" not in meta["runs"][0]["curves"]
    worst = np.argsort(data(report, "queries-0")["ap"], kind="stable")[:2]
    lists = data(report, "lists-0-0")
    for query in worst:
        seen = {int(images["queries"][query]), *lists["image"][slice(*lists["start"][query : query + 2])].tolist()}
        assert seen <= set(maps["image"].tolist())
    with Image.open(report / "maps" / "0" / "0000.jpg") as file:
        assert file.size == (8 * COLUMNS, 16 * ROWS)
        cell = np.asarray(file.crop((0, 0, 8, 16)), dtype=float)
    assert cell.std() > 1
    features = tmp_path / "report_features"  # which the next call finds
    with pytest.raises(SystemExit, match=r"FileExistsError: .*report is a report already; --overwrite replaces it"):
        run_tool(features, "--output", report)
    run_tool(*recipe, features, "--output", report, "--overwrite", "--no-suspects")
    meta = data(report, "meta")
    assert "maps" not in meta and "suspects" not in meta and "roc" in meta["runs"][0]["curves"]
    run_tool(features, "--output", report, "--overwrite", "--actmap", 1, "--ranks", 2, "MODEL.DEVICE", "cpu")
    assert data(report, "meta")["maps"] == {"queries": 1}  # of the model that is stored with the features
    pack_dataset("Market1501", str(tmp_path / "market.pack"), root=str(root))
    seen = pictures(report)
    (root / "Market-1501-v15.09.15" / "query").rename(tmp_path / "gone")
    stored = ("DATASETS.ROOT", root, "DATASETS.STORAGE", f"('{tmp_path / 'market.pack'}',)", "MODEL.DEVICE", "cpu")
    run_tool(features, "--output", report, "--overwrite", "--actmap", 1, "--ranks", 2, *stored)
    assert pictures(report) == seen
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "other.pth")
    words = (features, "--output", tmp_path / "other", "--actmap", 1, "MODEL.WEIGHTS", tmp_path / "other.pth")
    with pytest.raises(SystemExit, match=r"other\.pth is not the checkpoint that the features in .* are of"):
        run_tool(*words)


def test_the_commands_errors(place, rows, tmp_path, capsys):
    features = place / "a"
    if not features.exists():
        write_features(features, rows)
    for words, message in (
        ((features, place / "nothing"), "nothing has no meta.json"),
        ((features, features), "different names"),
        ((features, "TEST.NOTHING", 1), "TEST.NOTHING"),
        ((features, "--actmap", 1), r"model_0\.pth is not there; give --config-file and MODEL\.WEIGHTS"),
        ((features, "--ranks", 0), "--ranks must be at least 1"),
    ):
        with pytest.raises(SystemExit, match=message):
            run_tool(*words, "--output", tmp_path / "report")
    for words in ((), ("--dataset-name", "Market1501"), (features, "--thumbnail", "64")):
        with pytest.raises(SystemExit, match="2"):
            run_tool(*words, "--output", tmp_path / "report")
    assert "must be like 64x128, got '64'" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({}, None),
        ({"TEST.PROTOCOL": "cuhk03"}, "Rank-k is the mean over galleries with one drawn image of each identity"),
        ({"TEST.EVALUATOR": "RandomGalleryEvaluator"}, "The numbers are means over 10 drawn galleries"),
        (
            {"TEST.EVALUATOR": "RetrievalEvaluator", "TEST.PROTOCOL": "leave_one_out", "TEST.ROC.ENABLED": False},
            "MAP@R is cut off after as many images as it has matches",
        ),
    ],
)
def test_what_is_not_of_the_same_rankings_is_said(place, rows, settings, note):
    name = settings.get("TEST.EVALUATOR", settings.get("TEST.PROTOCOL", "plain"))
    own = judge(write_features(place / f"features_{name}", rows), **settings)
    write_report(own, place / f"report_{name}", ReportOptions(ranks=3, thumbnail=(16, 32)))
    notes = data(place / f"report_{name}", "meta")["notes"]
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]
