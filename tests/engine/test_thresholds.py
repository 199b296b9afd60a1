from __future__ import annotations

import hashlib
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from fastreid.engine.evaluation_results import EvaluationResults, queries_file, thresholds_of
from fastreid.engine.thresholds import Threshold, choose_threshold, read_threshold
from fastreid.utils.checkpoint import export_average

TOOL = Path(__file__).parents[2] / "tools" / "set_threshold.py"
OWN = {"kind": "fpr", "value": 1e-3, "threshold": 0.5, "threshold_interval": [0.4, 0.6], "metric": "cosine"}


def results(folder, **changes):
    points = {"TPR@FPR=1e-04": {"fpr": 1e-4, "tpr": 50.0, "threshold": 0.7, "threshold_interval": None}}
    alarms = {"DIR@FAR=1e-02": {"far": 0.01, "dir": 40.0, "threshold": None, "threshold_interval": None}}
    details = {
        "threshold": OWN,
        "verification": {"operating_points": points},
        "open_set": {"operating_points": alarms},
    }
    path = folder / "results.json"
    path.write_text(json.dumps({"Market1501": {"mAP": 1.0, "details": details}, **changes}))
    return path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["set_threshold.py", *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")


@pytest.mark.parametrize("kind", ["run", "v1.3", "bare"])
def test_a_copy_gets_the_threshold(tmp_path, monkeypatch, capsys, kind):
    weights = {"weight": torch.arange(4.0)}
    whole = {"model": weights, "epoch": 3}
    if kind == "run":
        whole["meta"] = {"version": 1, "embedding": {"metric": "cosine"}, "thresholds": {"Other": OWN}}
    source, target = tmp_path / "model.pth", tmp_path / "copy.pth"
    torch.save(weights if kind == "bare" else whole, source)
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    call(monkeypatch, source, target, "--results", results(tmp_path))
    assert "accept a cosine score >= 0.5000, for FPR 0.001 on Market1501" in capsys.readouterr().out
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    found = torch.load(target, weights_only=True)
    assert torch.equal(found["model"]["weight"], weights["weight"])
    meta = found.pop("meta")
    assert meta["thresholds"] == ({"Other": OWN} if kind == "run" else {}) | {"Market1501": OWN}
    if kind != "bare":
        assert found["epoch"] == 3
    with pytest.raises(SystemExit, match=r"copy\.pth exists; name a new file"):
        call(monkeypatch, source, target, "--results", results(tmp_path))
    with pytest.raises(SystemExit, match=r"model\.pth exists; name a new file"):
        call(monkeypatch, source, source, "--results", results(tmp_path))


def test_another_operating_point(tmp_path):
    path = str(results(tmp_path))
    label, found = read_threshold(path, point="TPR@FPR=1e-04")
    assert label == "Market1501"
    assert found == {
        "kind": "fpr",
        "value": 1e-4,
        "tpr": 50.0,
        "threshold": 0.7,
        "threshold_interval": None,
        "metric": "cosine",
    }
    with pytest.raises(ValueError, match=r"no operating point 'TPR' of Market1501, only TPR@FPR=1e-04, DIR@FAR=1e-02"):
        read_threshold(path, point="TPR")
    with pytest.raises(ValueError, match="too few pairs or probes for the threshold DIR@FAR=1e-02"):
        read_threshold(path, point="DIR@FAR=1e-02")


@pytest.mark.parametrize("point", [None, "TPR@FPR=1e-04"])
def test_a_threshold_of_test_time_options_is_an_error(tmp_path, point):
    path = results(tmp_path)
    stored = json.loads(path.read_text())
    stored["Market1501"]["details"]["threshold"] = {**OWN, "postprocess": ["AQE", "Rerank"]}
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"those of the test-time options AQE, Rerank, .*; evaluate without"):
        read_threshold(str(path), point=point)


@pytest.mark.parametrize(("text", "message"), [("{", "is damaged"), ("{}", "no test sets"), ("[]", "no test sets")])
def test_a_file_that_has_no_results(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=rf"results\.json .*{message}|results\.json {message}"):
        read_threshold(str(tmp_path / "results.json"))


def test_which_test_set(tmp_path):
    path = str(results(tmp_path, MSMT17={"mAP": 2.0}))
    with pytest.raises(ValueError, match="has the test sets Market1501, MSMT17; name one by --label"):
        read_threshold(path)
    assert read_threshold(path, "Market1501") == ("Market1501", OWN)
    with pytest.raises(ValueError, match=r"has no thresholds of MSMT17; evaluate with TEST\.ROC\.ENABLED True"):
        read_threshold(path, "MSMT17")
    with pytest.raises(ValueError, match="has no test set 'VeRi', only Market1501, MSMT17"):
        read_threshold(path, "VeRi")


def test_a_threshold_of_another_metric_is_an_error(tmp_path, monkeypatch):
    source = tmp_path / "model.pth"
    torch.save({"model": {}, "meta": {"embedding": {"metric": "euclidean"}}}, source)
    with pytest.raises(SystemExit, match=r"one of TEST\.METRIC cosine, but .* was made for euclidean"):
        call(monkeypatch, source, tmp_path / "copy.pth", "--results", results(tmp_path))
    assert not (tmp_path / "copy.pth").exists()


def test_an_exported_average_has_no_thresholds_of_other_weights(tmp_path):
    model = {"weight": torch.ones(2)}
    state = {"model": model, "meta": {"thresholds": {"Market1501": OWN}}, "ema": {"average": model, "updates": 3}}
    torch.save(state, tmp_path / "model.pth")
    export_average(str(tmp_path / "model.pth"), str(tmp_path / "ema.pth"), "ema")
    assert torch.load(tmp_path / "ema.pth", weights_only=True)["meta"]["thresholds"] == {}


def test_thresholds_that_are_defined():
    undefined = {**OWN, "threshold": None}
    assert thresholds_of({"A": {"threshold": OWN}, "B": {"threshold": undefined}, "C": {}}) == {"A": OWN}


def test_results_are_a_dict_with_details():
    found = EvaluationResults({"mAP": 1.0}, {"Market1501": {"queries": {}}})
    assert found == {"mAP": 1.0} and found.details == {"Market1501": {"queries": {}}}
    assert EvaluationResults() == {}


def test_a_label_makes_a_file_name():
    assert queries_file("shop-test.csv") == "queries_shop-test.csv.npz"
    assert queries_file("a/b c") == "queries_a_b_c.npz"


def test_a_threshold_is_given_or_that_of_the_checkpoint():
    own = {"kind": "fpr", "value": 1e-3, "threshold": -0.8, "metric": "euclidean"}
    one, two = {"thresholds": {"Market1501": own}}, {"thresholds": {"Market1501": own, "MSMT17": OWN}}
    assert choose_threshold(one, metric="cosine") == Threshold("euclidean", -0.8, "FPR 0.001 on Market1501")
    assert choose_threshold(two, metric="cosine", label="MSMT17") == Threshold("cosine", 0.5, "FPR 0.001 on MSMT17")
    assert choose_threshold(two, metric="cosine", value=0.0) == Threshold("cosine", 0.0, "given")
    with pytest.raises(ValueError, match="thresholds of Market1501, MSMT17; name one by --label"):
        choose_threshold(two, metric="cosine")
    with pytest.raises(ValueError, match="no threshold of 'VeRi', only of Market1501"):
        choose_threshold(one, metric="cosine", label="VeRi")
    with pytest.raises(ValueError, match="no threshold of 'VeRi', and none at all"):
        choose_threshold({}, metric="cosine", label="VeRi")
    for meta in ({}, {"thresholds": {}}, {"thresholds": None}):
        none = choose_threshold(meta, metric="cosine")
        assert none.value is None and none.metric == "cosine" and "carries none" in none.origin
        assert none.accepts(1.0) is None
    limit = Threshold("cosine", 0.5, "given")
    assert limit.accepts(0.5) is True and limit.accepts(0.4999) is False
