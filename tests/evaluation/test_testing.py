from __future__ import annotations

import logging
from collections import OrderedDict

import pytest

from fastreid.config import CfgNode, get_cfg
from fastreid.evaluation import flatten_results_dict, print_csv_format, verify_results

ONE = OrderedDict([("Rank-1", 94.444), ("mAP", 86.0)])


def table(caplog, results, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with caplog.at_level(logging.INFO):
        print_csv_format(results)
    first, *lines = caplog.records[-1].getMessage().split("\n")
    assert first == "Evaluation results in csv format: "
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_table_of_one_test_set(caplog, monkeypatch):
    results = OrderedDict(ONE, dataset="Market1501")
    rows = table(caplog, results, monkeypatch)
    assert rows[0] == ["Dataset", "Rank-1", "mAP"]
    assert all(set(cell) <= set(":-") for cell in rows[1])  # the rule of a pipe table
    assert rows[2:] == [["Market1501", "94.44", "86.00"]]
    assert results == OrderedDict(ONE, dataset="Market1501")


def test_table_of_several_test_sets(caplog, monkeypatch):
    rows = table(caplog, {"A": ONE, "B": {"mAP": 1.0, "extra": 2.0}}, monkeypatch)
    assert rows[0] == ["Dataset", "Rank-1", "mAP", "extra"]
    assert rows[2:] == [["A", "94.44", "86.00", ""], ["B", "", "1.00", "2.00"]]


def test_table_of_nothing(caplog, monkeypatch):
    assert table(caplog, {}, monkeypatch)[0] == ["Dataset"]


def test_flatten():
    assert flatten_results_dict({"A": {"b": {"c": 1}, "d": 2}, "e": 3}) == {"A/b/c": 1, "A/d": 2, "e": 3}
    assert flatten_results_dict({}) == {}


def expecting(*entries):
    cfg = get_cfg()
    cfg.TEST.EXPECTED_RESULTS = list(entries)
    return cfg


@pytest.mark.parametrize("results", [ONE, {"Market1501": ONE}])
def test_results_as_expected(results):
    assert verify_results(expecting(["Market1501", "mAP", 85.5, 0.6], ["Market1501", "Rank-1", 94, 1]), results)


@pytest.mark.parametrize("results", [ONE, {"Market1501": ONE}])
def test_results_that_differ_end_the_process_with_an_error(results):
    with pytest.raises(SystemExit, match=r"Market1501/mAP is 86\.0, expected 90 within 1") as error:
        verify_results(expecting(["Market1501", "mAP", 90, 1], ["Market1501", "Rank-1", 94, 1]), results)
    assert "Rank-1" not in str(error.value)


@pytest.mark.parametrize("results", [{"mAP": float("nan")}, {}, {"Other": ONE}])
def test_a_missing_result_is_not_as_expected(results):
    with pytest.raises(SystemExit, match=r"Market1501/mAP is (nan|None)"):
        verify_results(expecting(["Market1501", "mAP", 86, 1]), results)


def test_nothing_expected():
    assert verify_results(get_cfg(), ONE)
    assert verify_results(CfgNode({"TEST": CfgNode()}), ONE)


def test_an_entry_of_another_form_is_an_error():
    with pytest.raises(ValueError, match=r"TEST.EXPECTED_RESULTS has \['mAP', 86\]; write an entry as"):
        verify_results(expecting(["mAP", 86]), ONE)
