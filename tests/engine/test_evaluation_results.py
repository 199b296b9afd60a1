from __future__ import annotations

import json

import numpy as np
import pytest

from fastreid.engine.evaluation_results import (
    file_label,
    queries_file,
    read_queries,
    read_results,
    stored_judged_by,
    write_queries,
    write_results,
)

_LABEL = "csv:my set/é"


def test_what_was_written_is_read(tmp_path):
    assert file_label(_LABEL) == "csv_my_set__" and queries_file(_LABEL) == "queries_csv_my_set__.npz"
    details = {"judged_by": {"metric": "cosine"}}
    write_results(str(tmp_path), {_LABEL: {"mAP": np.float32(50.0)}, "b": {"mAP": 1}}, {_LABEL: details})
    assert read_results(tmp_path / "results.json") == {_LABEL: {"mAP": 50.0, "details": details}, "b": {"mAP": 1.0}}
    write_queries(str(tmp_path), _LABEL, {"mAP": np.array([0.5, np.nan]), "img_path": np.array(["a", "b"])})
    queries = read_queries(tmp_path / queries_file(_LABEL))
    assert list(queries) == ["mAP", "img_path"] and queries["img_path"].tolist() == ["a", "b"]
    assert stored_judged_by(tmp_path / queries_file(_LABEL)) == {"metric": "cosine"}
    assert stored_judged_by(tmp_path / "queries_other.npz") == {}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"a": 1}', "\udcff"])
def test_results_that_are_none_are_named(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"results\.json (is damaged: .*evaluate once more|has no test sets; name)"):
        read_results(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_results(path)


def test_queries_that_are_none_are_named(tmp_path):
    path = tmp_path / "queries_a.npz"
    for content in (b"", b"no archive", json.dumps({}).encode()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"queries_a\.npz is damaged, or no queries_<test set>\.npz"):
            read_queries(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"one\.npy is damaged, or no queries"):
        read_queries(tmp_path / "one.npy")
