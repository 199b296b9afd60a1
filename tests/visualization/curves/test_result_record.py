from __future__ import annotations

import json

import numpy as np
import pytest

from fastreid.visualization import ResultRecord, read_evaluations
from fastreid.visualization.curves.result_record import PANELS, OperatingPoint

from .evaluations import evaluate


def test_a_record_has_what_the_evaluation_left(tmp_path):
    folder = evaluate(tmp_path / "run", "Market1501")
    ((label, (record,)),) = read_evaluations([folder]).items()
    details = json.loads((folder / "results.json").read_text())["Market1501"]["details"]
    assert (label, record.name, record.label) == ("Market1501", "run", "Market1501")
    assert record.cmc().tolist() == details["cmc"] and len(record.cmc()) == 50
    for panel, part, names in (("roc", "verification", ("fpr", "tpr")), ("dir", "open_set", ("far", "dir"))):
        stored = details[part]["curve"]
        assert [rates.tolist() for rates in record.rates(panel)] == [stored[name] for name in names]
    assert [values.tolist() for values in record.scores()] == list(details["verification"]["histogram"].values())
    assert record.camera_pairs() == (details["breakdown"]["camera_pairs"]["worst"], 12)
    assert record.precisions.tolist() == np.load(folder / "queries_Market1501.npz")["mAP"].tolist()
    assert record.threshold == details["threshold"]["threshold"]
    assert record.score_name == "score (cosine)" and not record.is_first_split
    assert [record.missing(panel) for panel in PANELS] == [""] * 6


def test_operating_points_are_rates_and_the_chosen_one_is_told():
    interval = [10.0, 30.0]
    points = {"a": {"fpr": 1e-3, "tpr": 20.0, "tpr_interval": interval}, "b": {"fpr": 1e-2, "tpr": None}}
    threshold = {"kind": "far", "value": 0.05, "dir": 60.0, "dir_interval": None, "threshold": 0.7}
    record = ResultRecord("run", "set", {"verification": {"operating_points": points}, "threshold": threshold})
    assert record.operating_points("roc") == [OperatingPoint(1e-3, 0.2, (0.1, 0.3))]
    assert record.operating_points("dir") == [OperatingPoint(0.05, 0.6, None, chosen=True)]


def test_files_and_given_names_are_taken(tmp_path):
    a, b = evaluate(tmp_path / "a" / "eval"), evaluate(tmp_path / "b" / "eval")
    names = [record.name for record in read_evaluations([a, b / "results.json"])["Market1501"]]
    assert names == ["a/eval", "b/eval"]
    given = read_evaluations([a, b], names=["before", "after"])["Market1501"]
    assert [record.name for record in given] == ["before", "after"]
    for wrong in (["before"], ["same", "same"]):
        with pytest.raises(ValueError, match="--names must be 2 different names, one for each run, got "):
            read_evaluations([a, b], names=wrong)


def test_test_sets_that_all_runs_have(tmp_path, caplog):
    a, b, c = evaluate(tmp_path / "a", "X", "Y"), evaluate(tmp_path / "b", "Y", "Z"), evaluate(tmp_path / "c", "Z")
    assert list(read_evaluations([a])) == ["X", "Y"]
    assert not caplog.records
    assert list(read_evaluations([a, b])) == ["Y"]
    assert caplog.messages == ["Left out, because not every run was evaluated on it: X, Z"]
    assert list(read_evaluations([a, b], label="Y")) == ["Y"]
    with pytest.raises(ValueError, match="--label 'X' is no test set of every run; there are: a: X, Y; b: Y, Z"):
        read_evaluations([a, b], label="X")
    with pytest.raises(ValueError, match="no test set in common; there are: a: X, Y; c: Z"):
        read_evaluations([a, c])


def test_runs_that_were_judged_differently_are_a_warning(tmp_path, caplog):
    a, b = evaluate(tmp_path / "a"), evaluate(tmp_path / "b")
    stored = json.loads((b / "results.json").read_text())
    stored["Market1501"]["details"]["judged_by"]["postprocess"] = ["Rerank"]
    (b / "results.json").write_text(json.dumps(stored))
    records = read_evaluations([a, b])["Market1501"]
    assert caplog.messages == ["Market1501: postprocess was [] in a, ['Rerank'] in b"]
    assert records[1].score_name == "score (cosine, Rerank)"


def test_what_is_missing_is_told_with_its_remedy(tmp_path):
    folder = evaluate(tmp_path / "run", roc=False)
    (record,) = read_evaluations([folder])["Market1501"]
    assert {panel for panel in PANELS if record.missing(panel)} == {"roc", "dir", "scores"}
    assert "evaluate once more with TEST.ROC.ENABLED True" in record.missing("roc")
    (folder / "queries_Market1501.npz").unlink()
    assert "queries_Market1501.npz is not there" in read_evaluations([folder])["Market1501"][0].missing("ap")
    np.savez(folder / "queries_Market1501.npz", mAP=np.ones(3))
    (record,) = read_evaluations([folder])["Market1501"]
    assert "has 3 queries, but results.json is of 48" in record.missing("ap")
    np.savez(folder / "queries_Market1501.npz", pid=np.ones(48))
    assert "has no mAP" in read_evaluations([folder])["Market1501"][0].missing("ap")
    old = ResultRecord("old", "set")
    assert all(old.missing(panel) for panel in PANELS) and "evaluate once more" in old.missing("cmc")


def test_pairs_of_random_galleries_are_those_of_the_first_split(tmp_path):
    folder = evaluate(tmp_path / "run", kind="RandomGalleryEvaluator")
    (record,) = read_evaluations([folder])["Market1501"]
    details = json.loads((folder / "results.json").read_text())["Market1501"]["details"]
    first = details["splits"][0]
    assert record.is_first_split and len(details["splits"]) == 10
    assert record.rates("roc")[1].tolist() == first["verification"]["curve"]["tpr"]
    assert record.threshold == first["threshold"]["threshold"]
    assert record.cmc().tolist() == details["cmc"]  # the mean of all
    assert len(record.precisions) == details["queries"]["count"] > 300
    assert {panel for panel in PANELS if record.missing(panel)} == {"cameras"}


def test_retrieval_has_no_pairs(tmp_path):
    (record,) = read_evaluations([evaluate(tmp_path / "run", kind="RetrievalEvaluator")])["Market1501"]
    assert {panel for panel in PANELS if record.missing(panel)} == {"roc", "dir", "scores", "cameras"}
    assert "RetrievalEvaluator does not judge pairs" in record.missing("roc")


def test_what_cannot_be_read_is_named(tmp_path):
    folder = evaluate(tmp_path / "a")
    with pytest.raises(ValueError, match="name at least one OUTPUT_DIR"):
        read_evaluations([])
    with pytest.raises(ValueError, match="named twice"):
        read_evaluations([folder, folder / "results.json"])
    for nothing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="is not there; name the OUTPUT_DIR of an evaluation"):
            read_evaluations([nothing])
    stored = json.loads((folder / "results.json").read_text())
    for part in ({"details": "none"}, {"details": {"breakdown": None}}, {"details": {"verification": [1]}}):
        (tmp_path / "results.json").write_text(json.dumps({"Market1501": {**stored["Market1501"], **part}}))
        with pytest.raises(ValueError, match=r"results\.json is damaged: the details of Market1501 are no tables"):
            read_evaluations([tmp_path])
    (folder / "queries_Market1501.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"queries_Market1501\.npz is damaged"):
        read_evaluations([folder])
    for content, message in (("{", r"results\.json is damaged: .*; evaluate once more"), ("[1]", "has no test sets")):
        (folder / "results.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_evaluations([folder])
