from __future__ import annotations

import csv
import math
import os

import pytest

from fastreid.utils.events import CSVWriter, EventStorage, JSONWriter, read_metrics


def _table(file) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def _rows(file) -> dict[int, dict[str, float]]:
    """The table as ``read_metrics`` gives ``metrics.json``."""
    return {
        int(row.pop("iteration")): {name: float(cell) for name, cell in row.items() if cell} for row in _table(file)
    }


def _run(folder, first: int, last: int, *, evaluate=(), period: int = 1, value: float = 0.0) -> None:
    with EventStorage(first) as storage:
        writers = [JSONWriter(str(folder / "metrics.json")), CSVWriter(str(folder / "metrics.csv"))]
        for _ in range(first, last):
            storage.put_scalar("loss", storage.iter / 3 + value, smoothing_hint=False)
            storage.put_scalar("noisy", storage.iter % 3 + 1e-5)
            if storage.iter in evaluate:
                storage.put_scalar("mAP", 10.0 + storage.iter, smoothing_hint=False)
            if (storage.iter + 1) % period == 0:
                for writer in writers:
                    writer.write()
            storage.step()
        for writer in writers:
            writer.close()


def test_it_is_the_table_of_metrics_json(tmp_path):
    _run(tmp_path, 0, 9, evaluate=(5,), period=2)
    table = _table(tmp_path / "metrics.csv")
    assert list(table[0]) == ["iteration", "loss", "noisy", "mAP"]
    assert [row["mAP"] for row in table] == ["", "", "15.0", ""]
    assert _rows(tmp_path / "metrics.csv") == read_metrics(tmp_path / "metrics.json")


def test_a_column_that_appears_later_is_empty_above(tmp_path):
    file = tmp_path / "deeper" / "metrics.csv"
    with EventStorage() as storage:
        writer = CSVWriter(str(file))
        for name in ("b", "a, with a comma", "c"):
            storage.put_scalar(name, 0.1, smoothing_hint=False)
            writer.write()
            storage.step()
        writer.close()
    assert file.read_text() == ('iteration,b,"a, with a comma",c\n0,0.1,,\n1,,0.1,\n2,,,0.1\n')


def test_a_second_write_of_an_iteration_completes_its_row(tmp_path):
    file = tmp_path / "metrics.csv"
    with EventStorage() as storage:
        writer = CSVWriter(str(file))
        storage.put_scalars(loss=1.0, mAP=5.0, smoothing_hint=False)
        writer.write()
        writer.write()  # nothing new
        storage.put_scalar("mAP", 6.0, smoothing_hint=False)
        writer.write()
        writer.close()
    assert _table(file) == [{"iteration": "0", "loss": "1.0", "mAP": "6.0"}]


def test_what_is_not_finite_is_told_from_what_is_not_there(tmp_path):
    file = tmp_path / "metrics.csv"
    with EventStorage() as storage:
        writer = CSVWriter(str(file))
        storage.put_scalars(a=math.nan, b=-math.inf)
        writer.write()
        storage.step()
        storage.put_scalar("c", 1.0)
        writer.write()
        writer.close()
    assert _table(file) == [
        {"iteration": "0", "a": "nan", "b": "-inf", "c": ""},
        {"iteration": "1", "a": "", "b": "", "c": "1.0"},
    ]


@pytest.mark.parametrize("start", [0, 3, 4, 6, 8])
def test_a_resumed_run_has_every_row_once(tmp_path, start):
    _run(tmp_path, 0, 8, evaluate=(5,), period=2)
    _run(tmp_path, start, 12, evaluate=(5, 11), period=2, value=0.5)
    rows = _rows(tmp_path / "metrics.csv")
    assert list(rows) == [1, 3, 5, 7, 9, 11]
    assert rows == read_metrics(tmp_path / "metrics.json")
    assert [i for i, row in rows.items() if row["loss"] > i / 3 + 0.2] == [i for i in rows if i >= start]


def test_a_run_that_writes_nothing_leaves_the_table_alone(tmp_path):
    _run(tmp_path, 0, 4)
    before = (tmp_path / "metrics.csv").read_bytes()
    _run(tmp_path, 1, 2, period=100)
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_a_row_that_is_cut_off_is_dropped(tmp_path):
    file = tmp_path / "metrics.csv"
    _run(tmp_path, 0, 4)
    whole = file.read_text()
    file.write_text(whole + "4,1.33")  # a kill in the middle of a number
    _run(tmp_path, 4, 6)
    assert list(_rows(file)) == [0, 1, 2, 3, 4, 5]
    assert file.read_text().startswith(whole)
    file.write_text("iteration,lo")
    _run(tmp_path, 0, 1)
    assert list(_rows(file)) == [0]


def test_rows_are_appended_while_the_columns_are_the_same(tmp_path, monkeypatch):
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: replaced.append(paths) or replace(*paths))
    _run(tmp_path, 0, 50, evaluate=(20, 30))
    assert len(replaced) == 2  # the first row, and the first evaluation
    assert len(_rows(tmp_path / "metrics.csv")) == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [("step,loss\n0,1\n", "first column must be iteration"), ("iteration,loss\n0,1,2\n", "line 2 has no iteration or")],
)
def test_another_table_is_not_overwritten(tmp_path, content, message):
    file = tmp_path / "metrics.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        CSVWriter(str(file))
    assert file.read_text() == content
