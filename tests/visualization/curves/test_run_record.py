from __future__ import annotations

import json

import numpy as np
import pytest

from fastreid.visualization import read_runs


def write(folder, rows, *, iters_per_epoch=None):
    folder.mkdir(parents=True)
    text = "".join(json.dumps({"iteration": iteration, **row}) + "\n" for iteration, row in rows.items())
    (folder / "metrics.json").write_text(text)
    if iters_per_epoch:
        (folder / "run.json").write_text(json.dumps({"iters_per_epoch": iters_per_epoch, "sessions": []}))
    return folder


def test_folders_and_files_are_read(tmp_path):
    a = write(tmp_path / "a", {1: {"loss": 1.0, "bad": None}, 3: {"lr": 0.5}}, iters_per_epoch=2)
    b = write(tmp_path / "b", {0: {"loss": 2.0}})
    first, second = read_runs([a, b / "metrics.json"])
    assert (first.name, second.name) == ("a", "b")
    assert (first.iters_per_epoch, second.iters_per_epoch) == (2, None)
    assert first.scalars() == ["bad", "loss", "lr"]
    iterations, values = first.series("loss")
    assert iterations.tolist() == [1] and values.tolist() == [1.0]
    assert np.isnan(first.series("bad")[1]).all()
    assert len(first.series("nothing")[0]) == 0


def test_names_have_as_many_folders_as_tell_them_apart(tmp_path):
    rows = {0: {"loss": 1.0}}
    paths = [write(tmp_path / name, rows) for name in ("x/seed1/run", "x/seed2/run", "y/seed1/run")]
    assert [run.name for run in read_runs(paths)] == ["x/seed1/run", "x/seed2/run", "y/seed1/run"]
    assert [run.name for run in read_runs(paths[:2])] == ["seed1/run", "seed2/run"]


def test_what_cannot_be_read_is_named(tmp_path):
    folder = write(tmp_path / "a", {0: {"loss": 1.0}})
    with pytest.raises(ValueError, match="named twice"):
        read_runs([folder, folder / "metrics.json"])
    with pytest.raises(ValueError, match="name at least one OUTPUT_DIR"):
        read_runs([])
    with pytest.raises(FileNotFoundError, match=r"nothing is not there; name the OUTPUT_DIR of a run"):
        read_runs([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is not there"):
        read_runs([tmp_path / "empty"])
    (folder / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        read_runs([folder])
