"""The command line of tools/plot_results.py."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from .evaluations import evaluate

_TOOL = Path(__file__).parents[3] / "tools" / "plot_results.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluations")
    return [evaluate(root / "first", "Market1501", "csv:my set"), evaluate(root / "second", "Market1501", "csv:my set")]


def plot(monkeypatch, folder, *arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(_TOOL), *map(str, arguments)])
    runpy.run_path(str(_TOOL), run_name="__main__")


def test_a_picture_for_each_test_set(monkeypatch, tmp_path, capsys, folders):
    plot(monkeypatch, tmp_path, *folders, "--panels", "cmc", "ap")
    assert capsys.readouterr().out.splitlines() == [
        "results_Market1501.png: Market1501, 2 run(s)",
        "results_csv_my_set.png: csv:my set, 2 run(s)",
    ]
    for name in ("results_Market1501.png", "results_csv_my_set.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_one_test_set_and_names(monkeypatch, tmp_path, capsys, folders):
    options = ("--label", "Market1501", "--panels", "roc", "--names", "before", "after", "--output", "deep/a.svg")
    plot(monkeypatch, tmp_path, *folders, *options)
    assert capsys.readouterr().out == "deep/a.svg: Market1501, 2 run(s)\n"
    text = (tmp_path / "deep" / "a.svg").read_text()
    assert "<!--  before -->" in text and "<!--  after -->" in text and "<!-- ROC -->" in text


def test_pyplot_is_left_alone(monkeypatch, tmp_path, folders):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would be an error
    plot(monkeypatch, tmp_path, folders[0], "--label", "Market1501")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "a.pdf"), "--output must end in .png or .svg, got 'a.pdf'"),
        (("--label", "DukeMTMC"), "--label 'DukeMTMC' is no test set of every run; there are: "),
        (("--names", "a", "b"), "--names must be 1 different names"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(monkeypatch, tmp_path, folders, options, message):
    with pytest.raises(SystemExit) as stop:
        plot(monkeypatch, tmp_path, folders[0], *options)
    assert message in stop.value.code and "\n" not in stop.value.code
    with pytest.raises(SystemExit, match="is not there; name the OUTPUT_DIR of an evaluation"):
        plot(monkeypatch, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
