from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, SynthReID, painted
from fastreid.data.synthetic import CAMERAS, PAINTER_VERSION, Benchmark, writer
from fastreid.utils import comm

SMALL = Benchmark(train_identities=3, test_identities=2, group_size=2, train_images=2, gallery_images=1, distractors=4)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(SynthReID, "benchmark", SMALL)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("datasets")
    writer.write_benchmark(folder / SynthReID.folder, SMALL)
    return str(folder)


def test_is_registered():
    assert DATASET_REGISTRY.get("SynthReID") is SynthReID
    assert SynthReID.dataset_name == "synthreid"


def test_folder_names_the_painter():
    assert SynthReID.folder == f"SynthReID-v{PAINTER_VERSION}"


def test_splits(root):
    data = SynthReID(root)
    assert {item[1] for item in data.train} == {"synthreid_1", "synthreid_2", "synthreid_3"}
    assert {item[2] for item in data.train} == {f"synthreid_{cam}" for cam in range(6)}
    assert len(data.train) == 3 * 6 * 2
    assert [item[1:] for item in data.query] == [(pid, cam) for pid in (4, 5) for cam in range(6)]
    assert [item[1] for item in data.gallery] == [0] * 4 + [4] * 6 + [5] * 6
    assert all(os.path.isfile(path) for path, _, _ in [*data.train, *data.query, *data.gallery])


def test_combine_all_leaves_distractors_out(root):
    data = SynthReID(root, combineall=True)
    assert len({item[1] for item in data.train}) == 5
    assert "synthreid_test_0" not in {item[1] for item in data.train}


def test_statistics_are_those_of_the_whole_benchmark():
    whole = Benchmark()
    pictures = list(writer._pictures(whole, whole.people()))
    for split, folder in SynthReID.splits.items():
        names = [os.path.basename(picture.path) for picture in pictures if picture.path.startswith(f"{folder}/")]
        assert SynthReID.statistics[split] == (len({name[:4] for name in names}), len(names))
    assert len(CAMERAS) == 6


def test_paints_when_first_used_and_only_then(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "new"))
    with caplog.at_level(logging.INFO, logger="fastreid"):
        first = SynthReID()
        assert "Painting SynthReID" in caplog.text
        caplog.clear()
        second = SynthReID()
        assert "Painting" not in caplog.text
    assert first.train == second.train
    assert os.listdir(tmp_path / "new") == [SynthReID.folder]


def test_one_process_of_a_machine_paints_and_the_others_wait(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(painted, "ensure_benchmark", lambda *args: events.append("paint"))
    monkeypatch.setattr(comm, "synchronize", lambda: events.append("wait"))
    monkeypatch.setattr(SynthReID, "_find_folder", lambda self: str(tmp_path))
    SynthReID(str(tmp_path))
    assert events == ["paint", "wait"]
    events.clear()
    monkeypatch.setattr(comm, "get_local_rank", lambda: 1)
    SynthReID(str(tmp_path))
    assert events == ["wait"]


def test_failing_painter_does_not_keep_the_others_waiting(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(comm, "synchronize", lambda: waited.append(1))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write the synthetic benchmark"):
        SynthReID(str(tmp_path / "file"))
    assert waited == [1]
    monkeypatch.setattr(comm, "get_local_rank", lambda: 1)  # and what the others then say
    with pytest.raises(RuntimeError, match="The data set SynthReID is missing"):
        SynthReID(str(Path(tmp_path) / "file"))


def test_another_benchmark_in_its_folder_is_an_error(root, monkeypatch):
    monkeypatch.setattr(SynthReID, "benchmark", Benchmark())
    with pytest.raises(RuntimeError, match="Delete or rename the folder"):
        SynthReID(root)
