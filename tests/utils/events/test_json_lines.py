from __future__ import annotations

import errno
import json
import math
import os
import statistics
from contextlib import suppress

import numpy as np
import pytest
import torch

from fastreid.utils.events import EventStorage, JSONWriter, read_metrics


def _lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# -- metrics.json


def test_json_lines_are_sorted_and_smoothed(tmp_path):
    file = tmp_path / "deeper" / "metrics.json"
    losses = np.random.default_rng(0).random(50).tolist()
    with EventStorage() as storage:
        writer = JSONWriter(str(file))
        for step, loss in enumerate(losses):
            storage.put_scalar("total_loss", torch.tensor(loss, dtype=torch.float64))
            storage.put_scalar("lr", 0.1 * step, smoothing_hint=False)
            if step == 49:
                writer.write()
            storage.step()
        writer.close()
    text = file.read_text()
    assert _lines(file) == [{"iteration": 49, "lr": 0.1 * 49, "total_loss": statistics.median(losses[-20:])}]
    assert text.index("iteration") < text.index("lr") < text.index("total_loss")
    assert text.endswith("\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no disk that is always full")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    writer = JSONWriter(str(tmp_path / "metrics.json"))
    writer.close()
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as writer._file, EventStorage() as storage:
        storage.put_scalar("lr", 0.1, smoothing_hint=False)
        with pytest.raises(OSError, match="cannot write /dev/full: No space left on device; free some space") as caught:
            writer.write()
        assert caught.value.errno == errno.ENOSPC


def test_no_evaluation_is_lost_and_nothing_is_written_twice(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        writer = JSONWriter(str(file))
        for epoch in range(2):
            storage.put_scalar("total_loss", 1.0 + epoch)
            writer.write()  # the periodic line of the epoch's last iteration ...
            storage.put_scalar("mAP", 50.0 + epoch, smoothing_hint=False)
            writer.write()  # ... then the evaluation, at the same iteration
            writer.write()
            if epoch == 0:
                storage.step()
        storage.put_scalar("mAP", 60.0, smoothing_hint=False)  # evaluated again at that iteration
        writer.write()
        writer.close()
    assert _lines(file) == [
        {"iteration": 0, "total_loss": 1.0},
        {"iteration": 0, "mAP": 50.0},
        {"iteration": 1, "total_loss": 1.5},
        {"iteration": 1, "mAP": 51.0},
        {"iteration": 1, "mAP": 60.0},
    ]


def test_scalars_of_different_iterations_get_lines_of_their_own_in_order(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        for name in ("b", "a", "c"):
            storage.put_scalar(name, storage.iter, smoothing_hint=False)
            storage.step()
        JSONWriter(str(file)).write()
    assert _lines(file) == [{"iteration": 0, "b": 0.0}, {"iteration": 1, "a": 1.0}, {"iteration": 2, "c": 2.0}]


def test_what_is_not_finite_becomes_null(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        storage.put_scalars(loss=math.nan, up=math.inf, down=-math.inf, fine=1.0)
        JSONWriter(str(file)).write()
    assert _lines(file) == [{"iteration": 0, "loss": None, "up": None, "down": None, "fine": 1.0}]
    assert "NaN" not in file.read_text()


def test_a_resumed_run_continues_the_file(tmp_path):
    file = tmp_path / "metrics.json"

    def run(first: int, last: int) -> None:
        with EventStorage(first) as storage:
            writer = JSONWriter(str(file))
            for _ in range(first, last):
                storage.put_scalar("total_loss", storage.iter)
                storage.put_scalar("mAP", storage.iter, smoothing_hint=False)
                writer.write()
                storage.step()
            writer.close()

    run(0, 3)
    run(3, 5)  # from the end of the last epoch: no line twice
    assert [line["iteration"] for line in _lines(file)] == [0, 1, 2, 3, 4]
    run(4, 6)  # from an older checkpoint: nothing is deleted, the later line counts
    assert [line["iteration"] for line in _lines(file)] == [0, 1, 2, 3, 4, 4, 5]


def test_a_torn_last_line_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text('{"iteration": 0, "loss": 1.0}\n{"iteration": 1, "lo')
    with EventStorage(1) as storage:
        storage.put_scalar("loss", 2.0)
        JSONWriter(str(file)).write()
    assert json.loads(file.read_text().splitlines()[-1]) == {"iteration": 1, "loss": 2.0}


def _write(file, first: int, last: int, *, value: float = 0.0, period: int = 1) -> None:
    with EventStorage(first) as storage:
        writer = JSONWriter(str(file))
        for _ in range(first, last):
            storage.put_scalar("loss", storage.iter + value, smoothing_hint=False)
            if (storage.iter + 1) % period == 0:
                writer.write()
            storage.step()
        writer.close()


def test_reading_gives_back_what_was_written(tmp_path):
    file = tmp_path / "metrics.json"
    with EventStorage() as storage:
        writer = JSONWriter(str(file))
        storage.put_scalars(loss=0.1, bad=math.nan)
        writer.write()
        storage.put_scalar("mAP", 50.0)
        writer.write()
        writer.close()
    rows = read_metrics(file)
    assert math.isnan(rows[0].pop("bad"))
    assert rows == {0: {"loss": 0.1, "mAP": 50.0}}


@pytest.mark.parametrize(("start", "kept"), [(4, [1, 3]), (3, [1]), (0, []), (8, [1, 3, 5, 7])])
def test_what_a_restarted_run_does_again_does_not_count(tmp_path, start, kept):
    file = tmp_path / "metrics.json"
    _write(file, 0, 8, period=2)  # lines of 1, 3, 5, 7; killed
    _write(file, start, 12, value=100, period=4)  # resumed with another LOG_PERIOD
    rows = read_metrics(file)
    again = {iteration: {"loss": iteration + 100.0} for iteration in (3, 7, 11) if iteration >= start}
    assert rows == {iteration: {"loss": float(iteration)} for iteration in kept} | again
    marks = [line.get("restarted_at") for line in _lines(file)]
    assert marks[:4] == [None] * 4  # nothing is ever removed
    assert marks[4] == (start if start < 8 else None)
    assert set(marks[5:]) <= {None}


def test_a_file_without_marks_is_read_by_its_going_back(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text("".join(f'{{"iteration": {i}, "loss": {i}.5}}\n' for i in (1, 3, 5, 7)))
    with file.open("a") as older:
        older.write('{"iteration": 4, "loss": 9.0}\n')
    assert read_metrics(file) == {1: {"loss": 1.5}, 3: {"loss": 3.5}, 4: {"loss": 9.0}}


def test_half_a_line_is_left_out_with_a_warning_and_mended_by_the_next_run(tmp_path, caplog):
    file = tmp_path / "metrics.json"
    _write(file, 0, 2)
    with file.open("a") as killed:
        killed.write('{"iteration": 2, "lo')
    assert list(read_metrics(file)) == [0, 1]
    assert "line 3 is cut off" in caplog.text
    _write(file, 2, 4)
    assert [line["iteration"] for line in _lines(file)] == [0, 1, 2, 3]  # every line is JSON again


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text('{"iteration": 0, "loss": 1.0}')
    _write(file, 1, 2)
    assert [line["iteration"] for line in _lines(file)] == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no line yet"),
        ("\n", "holds no line yet"),
        ("hello\n", "line 1 is damaged"),
        ('{"iteration": 0}\n[1]\n', "line 2 is no object of numbers with an iteration"),
        ('{"loss": 1}\n', "line 1 is no object of numbers with an iteration"),
        ('{"iteration": 0, "loss": "x"}\n', "line 1 is no object of numbers with an iteration"),
    ],
)
def test_what_is_no_file_of_metrics_is_an_error(tmp_path, content, message):
    file = tmp_path / "metrics.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_metrics(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="name the OUTPUT_DIR of a run"):
        read_metrics(tmp_path / "metrics.json")
