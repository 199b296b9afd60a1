from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from fastreid.evaluation import compare_queries

TOOL = Path(__file__).parents[2] / "tools" / "compare_runs.py"


def evaluation(seed=0, gain=0.0, count=120, identities=30):
    r = np.random.default_rng(seed)
    precision = np.clip(np.random.default_rng(7).random(count) * 0.8 + gain + 0.05 * r.normal(size=count), 0.01, 1)
    return {
        "place": np.arange(count),
        "img_path": np.array([f"{query:04d}.jpg" for query in range(count)]),
        "pid": np.arange(count) % identities,
        "Rank-1": (precision > 0.4).astype(float),
        "mAP": precision,
    }


def shuffled(queries, seed=3):
    order = np.random.default_rng(seed).permutation(len(queries["place"]))
    return {name: array[order] for name, array in queries.items()}


@pytest.mark.parametrize(("gain", "verdict"), [(0.05, "better"), (0.0, "undecided"), (-0.05, "worse")])
def test_the_verdict(gain, verdict):
    report = compare_queries(evaluation(0), shuffled(evaluation(1, gain)), resamples=1000)
    assert report["mAP"]["verdict"] == verdict
    assert report["queries"] == 120
    difference = 100 * (evaluation(1, gain)["mAP"] - evaluation(0)["mAP"])
    assert report["mAP"]["difference"] == pytest.approx(difference.mean())
    low, high = report["mAP"]["interval"]
    assert low < report["mAP"]["difference"] < high
    assert [own["place"] for own in report["improved"]] == [q for q in np.argsort(-difference) if difference[q] > 0]
    assert [own["place"] for own in report["declined"]] == [q for q in np.argsort(difference) if difference[q] < 0]
    first = report["improved"][0]
    assert first["second"] - first["first"] == pytest.approx(difference.max())


def test_pairs_tell_more_than_two_intervals():
    # the queries differ far more from each other than the two models do on each
    first, second = evaluation(0), evaluation(1, 0.03)
    report = compare_queries(first, second, resamples=1000)
    low, high = report["mAP"]["interval"]
    assert low > 0 and high - low < 5
    from fastreid.evaluation.bootstrap import IdentityBootstrap

    alone = 100 * IdentityBootstrap(first["pid"]).means(first["mAP"][:, None])[0]
    assert alone[1] - alone[0] > 2 * (high - low)


def test_a_run_is_undecided_against_itself():
    report = compare_queries(evaluation(), evaluation(), resamples=50)
    assert report["Rank-1"]["difference"] == 0 and report["Rank-1"]["verdict"] == "undecided"
    assert report["improved"] == report["declined"] == []


def test_queries_without_a_match_do_not_count():
    first, second = evaluation(0), evaluation(1)
    first["mAP"][:5] = first["Rank-1"][:5] = np.nan
    second["mAP"][3:8] = second["Rank-1"][3:8] = np.nan
    report = compare_queries(first, second, resamples=50)
    assert report["queries"] == 112
    assert min(own["place"] for own in report["improved"] + report["declined"]) >= 8


@pytest.mark.parametrize("paths", ["unknown", "the same"])
def test_queries_without_names_are_matched_by_place(paths):
    first, second = evaluation(0), evaluation(1, 0.05)
    expected = compare_queries(first, second, resamples=50)["mAP"]
    for of in (first, second):
        of["img_path"] = np.array(["" if paths == "unknown" else "a.jpg"] * 120)
    found = compare_queries(first, shuffled(second), resamples=50)["mAP"]
    assert found["interval"] == pytest.approx(expected["interval"])
    assert found["difference"] == pytest.approx(expected["difference"])


def test_what_cannot_be_compared():
    first, second = evaluation(), evaluation(count=119)
    with pytest.raises(ValueError, match=r"1 queries are in one evaluation only, such as '0119\.jpg'"):
        compare_queries(first, second)
    second = evaluation()
    second["pid"][:2] += 1
    with pytest.raises(ValueError, match="2 queries have different identities"):
        compare_queries(first, second)
    with pytest.raises(ValueError, match=r"one evaluation has several splits, .* same TEST\.EVALUATOR"):
        compare_queries(first, {**first, "split": np.zeros(120, dtype=np.int64)})
    first["mAP"][:] = np.nan
    with pytest.raises(ValueError, match="none of the 120 queries has a true match in both"):
        compare_queries(first, evaluation())


def test_the_tool(tmp_path, monkeypatch, capsys):
    for name, gain in (("a", 0.0), ("b", 0.1)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "queries_Market1501.npz", **evaluation(0, gain))
    report = tmp_path / "report.json"
    arguments = [tmp_path / "a", tmp_path / "b", "--resamples", 200, "--most", 3, "--json", report]
    monkeypatch.setattr(sys, "argv", ["compare_runs.py", *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name="__main__")
    printed = capsys.readouterr().out
    assert "queries_Market1501: 120 queries" in printed
    assert "| better |" in " ".join(printed.split()) and printed.count(".jpg") == 3
    assert json.loads(report.read_text())["queries_Market1501"]["mAP"]["verdict"] == "better"
    for name, protocol in (("a", "market1501"), ("b", "cuhk03")):
        judged_by = {"metric": "cosine", "protocol": protocol}
        stored = {"Market1501": {"mAP": 1.0, "details": {"judged_by": judged_by}}}
        (tmp_path / name / "results.json").write_text(json.dumps(stored))
    runpy.run_path(str(TOOL), run_name="__main__")
    assert capsys.readouterr().err == "queries_Market1501: protocol was market1501 in A and cuhk03 in B\n"
    monkeypatch.setattr(sys, "argv", ["compare_runs.py", str(tmp_path / "a"), str(tmp_path)])
    with pytest.raises(SystemExit, match=r"have no queries_\*\.npz of the same name"):
        runpy.run_path(str(TOOL), run_name="__main__")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 an archive that was cut"])
def test_the_tool_names_a_damaged_file(tmp_path, monkeypatch, content):
    np.savez(tmp_path / "queries_a.npz", **evaluation())
    (tmp_path / "queries_b.npz").write_bytes(content)
    arguments = [tmp_path / "queries_a.npz", tmp_path / "queries_b.npz"]
    monkeypatch.setattr(sys, "argv", ["compare_runs.py", *map(str, arguments)])
    with pytest.raises(SystemExit, match=r"queries_b\.npz is damaged, or no queries_<test set>\.npz: .*once more"):
        runpy.run_path(str(TOOL), run_name="__main__")
