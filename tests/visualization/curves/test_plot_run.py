"""The command line of tools/plot_run.py, on two runs of the trainer."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from fastreid.engine import DefaultTrainer

from ...engine.tiny import tiny_cfg, write_market

_TOOL = Path(__file__).parents[3] / "tools" / "plot_run.py"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = write_market(tmp_path_factory.mktemp("datasets"))
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("first", "second")]
    for folder, rate in zip(folders, (1e-3, 1e-4)):
        DefaultTrainer(tiny_cfg(root, folder, "SOLVER.BASE_LR", rate, "SOLVER.MAX_EPOCH", 2)).train()
    return folders


def plot(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(_TOOL), *map(str, arguments)])
    runpy.run_path(str(_TOOL), run_name="__main__")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_two_runs_in_one_picture(monkeypatch, tmp_path, capsys, runs, kind):
    output = tmp_path / f"both.{kind}"
    plot(monkeypatch, *runs, "--output", output, "--smooth", 2)
    assert output.stat().st_size > 10_000
    # total_loss, two parts, accuracy, lr, gradient norm, mAP, Rank-1, mINP, speed, waiting
    assert f"{output}: 2 run(s), 11 panels" in capsys.readouterr().out
    if kind == "svg":
        assert output.read_text().count("<!-- ") > 20  # its texts: titles, labels, legend
        assert "<!--  first -->" in output.read_text() and "<!--  second -->" in output.read_text()


def test_some_scalars_of_a_file_against_iterations(monkeypatch, tmp_path, capsys, runs):
    options = ("--metrics", "loss_*", "lr", "--x", "iteration", "--output", tmp_path / "a.png")
    plot(monkeypatch, runs[0] / "metrics.json", *options)
    assert "1 run(s), 3 panels" in capsys.readouterr().out


def test_pyplot_is_left_alone(monkeypatch, tmp_path, runs):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would be an error
    plot(monkeypatch, runs[0], "--output", tmp_path / "a.png", "--metrics", "total_loss")


def test_half_a_last_line_is_tolerated(monkeypatch, tmp_path, caplog, runs):
    killed = tmp_path / "metrics.json"
    killed.write_text((runs[0] / "metrics.json").read_text() + '{"iteration": 99, "total_l')
    plot(monkeypatch, killed, "--output", tmp_path / "a.png", "--metrics", "total_loss")
    assert "is cut off" in caplog.text


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, (), "name the OUTPUT_DIR of a run"),
        ("", (), "holds no line yet"),
        ("hello\n", (), "line 1 is damaged"),
        ('{"iteration": 0, "loss": 1}\n', ("--metrics", "mAP"), "matches no scalar; there are: loss"),
        ('{"iteration": 0, "loss": 1}\n', ("--x", "epoch"), "use --x iteration"),
        ('{"iteration": 0, "loss": 1}\n', ("--smooth", "0"), "--smooth must be at least 1 value"),
        ('{"iteration": 0, "loss": 1}\n', ("--output", "a.pdf"), "--output must end in .png or .svg, got 'a.pdf'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(monkeypatch, tmp_path, content, options, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(SystemExit) as stop:
        plot(monkeypatch, tmp_path, *options)
    assert message in stop.value.code and "\n" not in stop.value.code
    assert not (tmp_path / "curves.png").exists()
