"""``run.json`` of toy runs; ``test_observation.py`` has that of a real one."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from fastreid.engine import TrainerBase, hooks
from fastreid.engine.manifest import changed_keys, how_it_ended, read_manifest, write_manifest

CONFIG = {"SOLVER": {"MAX_EPOCH": 3, "BASE_LR": 0.1}, "SEED": 5}


class Toy(TrainerBase):
    metric_name = "mAP"

    def run_step(self):
        pass


class Fail(hooks.CallbackHook):
    def __init__(self, at, error):
        super().__init__()
        self.at, self.error = at, error

    def before_step(self):
        if self.trainer.iter == self.at:
            raise self.error


def run(path, *, start_iter=0, epochs=3, scores=(), more=(), config=CONFIG, state=None):
    """Three iterations an epoch, each epoch evaluated to the next score."""
    trainer, waiting, newest = Toy(), list(scores), {}

    def evaluate(_):
        nonlocal newest
        if waiting:
            newest = {"mAP": waiting.pop(0), "Rank-1": 50.0}

    manifest = hooks.RunManifest(
        str(path),
        config=config,
        dataset={"names": ["Toy"], "fingerprint": "f"},
        results=lambda: newest,
        seeds=lambda: {"config": 5},
    )
    if state is not None:
        manifest.load_state_dict(state)
    trainer.register_hooks([hooks.CallbackHook(after_epoch=evaluate), manifest, *more])
    try:
        trainer.train(start_iter // 3, epochs, 3, start_iter=start_iter)
    finally:
        found = json.loads(path.read_text(), parse_constant=pytest.fail)
    return found, manifest


def test_a_finished_run(tmp_path):
    found, manifest = run(tmp_path / "deeper" / "run.json", scores=[10.0, 30.0, 20.0])
    assert found["status"] == "finished"
    assert found["config"] == CONFIG
    assert found["dataset"] == {"names": ["Toy"], "fingerprint": "f"}
    assert (found["iters_per_epoch"], found["max_epoch"], found["metric"]) == (3, 3, "mAP")
    best = {"epoch": 1, "iteration": 5, "values": {"mAP": 30.0, "Rank-1": 50.0}}
    last = {"epoch": 2, "iteration": 8, "values": {"mAP": 20.0, "Rank-1": 50.0}}
    assert found["results"] == {"last": last, "best": best}
    assert manifest.state_dict() == {"last": last, "best": best, "metric": "mAP"}
    (session,) = found["sessions"]
    assert (session["status"], session["error"]) == ("finished", None)
    assert (session["start_iteration"], session["last_iteration"]) == (0, 8)
    assert session["command"] == [sys.executable, *sys.argv]
    assert (session["pid"], session["host"]) == (os.getpid(), socket.gethostname())
    assert session["world_size"] == 1
    assert session["seed"].keys() == {"torch", "config"}
    assert session["environment"]["fastreid"]
    assert session["git"].keys() == {"library", "folder"}
    start, end = (datetime.fromisoformat(session[key]) for key in ("start", "end"))
    assert start.utcoffset() == timedelta(0) and start <= end
    assert list(tmp_path.glob("**/*.tmp")) == []


def test_the_best_by_another_metric_is_not_the_best_by_this_one(tmp_path):
    def state(metric):
        stored = {"epoch": 0, "iteration": 2, "values": {"metric": 90.0, "mAP": 80.0}}
        return {"last": stored, "best": stored, "metric": metric}

    path = tmp_path / "run.json"
    assert run(path, start_iter=3, scores=[10.0, 20.0], state=state("mAP"))[0]["results"]["best"]["iteration"] == 2
    found, manifest = run(path, start_iter=3, scores=[20.0, 10.0], state=state("metric"))
    assert found["results"]["best"]["iteration"] == 5
    assert manifest.state_dict()["metric"] == "mAP"
    old = state("mAP")
    del old["metric"], old["best"]["values"]["mAP"]  # as written before the metric was stored
    assert run(path, start_iter=3, scores=[20.0, 10.0], state=old)[0]["results"]["best"]["iteration"] == 5


def test_what_is_not_finite_is_null_and_never_the_best(tmp_path):
    found, _ = run(tmp_path / "run.json", scores=[math.nan, 1.0, math.nan], config={"A": math.inf, "B": (1, 2)})
    assert found["results"]["last"]["values"]["mAP"] is None
    assert found["results"]["best"]["values"]["mAP"] == 1.0
    assert found["config"] == {"A": None, "B": [1, 2]}


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (RuntimeError("the disk\n is full"), "failed", "RuntimeError: the disk is full"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt:"),
        (SystemExit(75), "interrupted", "SystemExit: 75"),
    ],
)
def test_how_a_run_was_stopped(tmp_path, error, status, text):
    with pytest.raises(type(error)):
        run(tmp_path / "run.json", scores=[10.0], more=[Fail(5, error)])
    found = read_manifest(tmp_path / "run.json")
    assert found["status"] == found["sessions"][0]["status"] == status
    assert found["sessions"][0]["error"] == text
    assert found["sessions"][0]["last_iteration"] == 4
    assert found["results"]["best"]["values"]["mAP"] == 10.0


def test_a_failure_before_the_first_iteration_is_told_too(tmp_path):
    def fail(_):
        raise ValueError("no such thing")

    trainer_hooks = [hooks.CallbackHook(before_train=fail)]
    trainer = Toy()
    manifest = hooks.RunManifest(str(tmp_path / "run.json"), config={}, dataset={}, results=dict)
    trainer.register_hooks([*trainer_hooks, manifest])
    with pytest.raises(ValueError, match="no such thing"):
        trainer.train(0, 1, 3)
    found = read_manifest(tmp_path / "run.json")
    assert (found["status"], found["sessions"][0]["last_iteration"]) == ("failed", -1)


def test_an_error_of_the_callers_is_not_the_runs(tmp_path):
    try:
        raise RuntimeError("something before")
    except RuntimeError:
        found, _ = run(tmp_path / "run.json")
    assert found["status"] == "finished"


def test_a_killed_run_says_running_and_the_next_one_knows_better(tmp_path, caplog):
    path, left = tmp_path / "run.json", tmp_path / "left.json"

    class Kill(hooks.CallbackHook):
        """Keeps what a kill at this moment would leave."""

        def before_step(self):
            if self.trainer.iter == 7:
                shutil.copy(path, left)

    run(path, scores=[10.0, 30.0, 20.0], more=[Kill()])
    killed = read_manifest(left)
    assert killed["status"] == killed["sessions"][0]["status"] == "running"
    assert killed["sessions"][0]["end"] is None
    assert killed["results"]["last"]["values"]["mAP"] == 30.0

    shutil.copy(left, path)
    state = {"last": None, "best": {"epoch": 0, "iteration": 2, "values": {"mAP": 40.0}}}
    longer = {"SOLVER": {"MAX_EPOCH": 4, "BASE_LR": 0.1}, "SEED": 5, "NEW": 1}
    found, _ = run(path, start_iter=3, epochs=4, scores=[35.0], config=longer, state=state)
    assert [session["status"] for session in found["sessions"]] == ["killed", "finished"]
    assert [session["start_iteration"] for session in found["sessions"]] == [0, 3]
    assert [session["changed_config"] for session in found["sessions"]] == [
        {},
        {"NEW": [None, 1], "SOLVER.MAX_EPOCH": [3, 4]},
    ]
    assert found["config"] == longer
    assert found["results"]["best"] == state["best"]
    assert found["results"]["last"]["values"]["mAP"] == 35.0
    assert "two runs need two OUTPUT_DIRs" not in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="processes cannot be asked elsewhere")
def test_a_run_in_a_folder_where_another_one_trains_is_warned(tmp_path, caplog):
    path = tmp_path / "run.json"
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    session = {"status": "running", "pid": other.pid, "host": socket.gethostname()}
    try:
        write_manifest(path, {"config": {}, "sessions": [session]})
        run(path)
        assert f"process {other.pid} on {socket.gethostname()} is training in this folder" in caplog.text
    finally:
        other.communicate(b"\n", timeout=60)
    caplog.clear()
    write_manifest(path, {"config": {}, "sessions": [session]})
    run(path)
    assert "is training in this folder" not in caplog.text


def test_a_damaged_manifest_is_kept_aside(tmp_path, caplog):
    path = tmp_path / "run.json"
    path.write_text('{"half": ')
    with pytest.raises(ValueError, match="is damaged"):
        read_manifest(path)
    found, _ = run(path)
    assert len(found["sessions"]) == 1
    assert (tmp_path / "run.json.damaged").read_text() == '{"half": '
    assert "run.json.damaged" in caplog.text
    path.write_text("[]")
    with pytest.raises(ValueError, match="no manifest of a run"):
        read_manifest(path)
    with pytest.raises(FileNotFoundError):
        read_manifest(tmp_path / "nothing.json")


def test_an_evaluation_inside_an_epoch_is_written_at_once(tmp_path):
    path, results, seen = tmp_path / "run.json", {}, []
    trainer = Toy()

    def evaluate(t):
        nonlocal results
        if t.iter == 4:
            results = {"Market1501": {"mAP": 12.0}}

    def look(t):
        seen.append((t.iter, read_manifest(path)["results"]["last"]))

    manifest = hooks.RunManifest(str(path), config={}, dataset={}, results=lambda: results)
    trainer.metric_name = "Market1501/mAP"
    trainer.register_hooks([hooks.CallbackHook(after_step=evaluate), manifest, hooks.CallbackHook(after_step=look)])
    trainer.train(0, 2, 3)
    expected = {"epoch": 1, "iteration": 4, "values": {"Market1501/mAP": 12.0}}
    assert seen == [(0, None), (1, None), (2, None), (3, None), (4, expected), (5, expected)]


def test_training_that_ends_early_without_an_error_was_interrupted():
    assert how_it_ended(None, complete=False) == ("interrupted", None)
    assert how_it_ended(None, complete=True) == ("finished", None)


def test_changes_are_named_by_their_keys():
    before = {"A": {"B": {"C": 1, "D": [1, 2]}}, "E": 1}
    assert changed_keys(before, before) == {}
    assert changed_keys(before, {"A": {"B": {"C": 2, "D": [1, 2]}}, "F": 3}) == {
        "A.B.C": [1, 2],
        "E": [1, None],
        "F": [None, 3],
    }
