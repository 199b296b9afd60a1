"""The command line of tools/find_label_suspects.py."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path

import pytest

from fastreid.evaluation.feature_folder import IndexRow

from ..test_feature_folder import write_folder
from .drawn import draw

_TOOL = Path(__file__).parents[3] / "tools" / "find_label_suspects.py"


def find(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(_TOOL), *map(str, arguments)])
    runpy.run_path(str(_TOOL), run_name="__main__")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    drawn = draw(identities=12, spread=0.5, shift=0.3)
    pids = drawn.pids.copy()
    pids[[7, 31]] = 4
    images = zip(pids.tolist(), drawn.camids.tolist(), drawn.splits.tolist())
    rows = [IndexRow(f"{place}.jpg", str(pid), str(cam), split) for place, (pid, cam, split) in enumerate(images)]
    folder = Path(write_folder(tmp_path_factory.mktemp("suspects") / "f", rows, features=drawn.features.numpy()))
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "dataset": {"name": "Market1501"}}))
    return folder


def test_suspects_are_printed_and_written(monkeypatch, tmp_path, capsys, features):
    output = tmp_path / "suspects.csv"
    find(monkeypatch, features, "--output", output, "--top", 1)
    text = capsys.readouterr().out
    assert "wrong_label  1 of 26 images of 4 fits" in text and f"{output}: 2 suspects" in text
    assert ("7.jpg" in text) != ("31.jpg" in text)  # one of the two is shown
    with open(output, newline="", encoding="utf-8") as file:
        assert {row["images"] for row in csv.DictReader(file)} == {"7.jpg", "31.jpg"}


def test_a_trial_says_how_many_are_found(monkeypatch, capsys, features):
    find(monkeypatch, features, "--trial", 10, "--regroup", 1, "--draws", 2)
    rows = [line.rsplit(maxsplit=3) for line in capsys.readouterr().out.splitlines() if "[" not in line]
    counts = {name.strip(): tuple(map(float, values)) for name, *values in rows[1:]}
    assert counts["of 10 wrong labels found"][1] >= 8
    assert counts["of 1 identities of two people found"] == (1, 1, 1)
    assert counts["of 1 people with two identities found"] == (1, 1, 1)


def test_what_cannot_be_done_is_an_error(monkeypatch, tmp_path, features):
    with pytest.raises(SystemExit, match="has no meta"):
        find(monkeypatch, tmp_path)
    with pytest.raises(SystemExit, match="count must be at least 0 and at most 288"):
        find(monkeypatch, features, "--trial", 1000)
