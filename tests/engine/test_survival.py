"""A run that is told to stop, that keeps few checkpoints, or that counts in iterations, is still the same run."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from fastreid.engine import HookBase, TrainerBase, defaults, hooks, launch
from fastreid.engine.stopped import STOPPED_EXIT_CODE, RunStopped
from fastreid.engine.supervise import RankFailed
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

from .test_defaults import Stop, StopAt, checkpoint, differing, train
from .test_launch import ROOT, TRAIN_NET, config_file
from .tiny import tiny_cfg, write_market


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


class Signal(HookBase):
    """Send a signal to this process in the middle of an iteration."""

    def __init__(self, iteration, number=signal.SIGTERM, times=1):
        self.iteration, self.number, self.times = iteration, number, times

    def before_step(self):
        if self.trainer.iter == self.iteration:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def train_until_told(cfg, hook):
    trainer = defaults.DefaultTrainer(cfg)
    trainer.register_hooks([hook])
    with pytest.raises(RunStopped) as found:
        trainer.train()
    return found.value


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(tiny_cfg(market, folder))
    return folder


@pytest.mark.parametrize(
    ("iteration", "number", "workers", "name"),
    [
        (7, signal.SIGTERM, 0, "model_iter_0000007.pth"),
        (0, signal.SIGINT, 2, "model_iter_0000000.pth"),
        (5, signal.SIGTERM, 0, "model_0001.pth"),  # the end of an epoch, which is saved anyway
    ],
)
def test_a_signal_saves_at_the_end_of_the_iteration_and_the_rest_is_the_same(
    whole, market, tmp_path, iteration, number, workers, name
):
    cfg = tiny_cfg(market, tmp_path, "DATALOADER.NUM_WORKERS", workers)
    seed_all_rng(cfg.SEED)
    stopped = train_until_told(cfg, Signal(iteration, number, times=2))  # both at once count as one
    assert (stopped.code, stopped.signal_name, stopped.iteration) == (STOPPED_EXIT_CODE, number.name, iteration)
    assert (tmp_path / "last_checkpoint").read_text() == name
    assert [path.name for path in tmp_path.glob("model_iter*")] == ([name] if "iter" in name else [])
    resumed, _ = train(cfg, resume=True)
    assert resumed.start_iter == iteration + 1
    assert differing(checkpoint(whole)["model"], checkpoint(tmp_path)["model"]) == []


def test_a_signal_in_the_last_iteration_lets_the_run_end(market, tmp_path):
    trainer = defaults.DefaultTrainer(tiny_cfg(market, tmp_path, "SOLVER.MAX_EPOCH", 1))
    trainer.register_hooks([Signal(2)])
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    trainer.train()
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"


def test_a_second_signal_does_not_spoil_the_end_of_a_run_that_has_stopped(monkeypatch):
    class Toy(TrainerBase):
        def run_step(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def mine(*_):
        seen.append("mine")

    seen = []
    former = signal.signal(signal.SIGTERM, mine)
    try:
        trainer = Toy()
        trainer.register_hooks([hooks.StopOnSignal(lambda: seen.append("saved"))])
        with pytest.raises(RunStopped):
            trainer.train(0, 1, 3)
        os.kill(os.getpid(), signal.SIGTERM)  # of a parent, say, that sends it too
        assert seen == ["saved"]
        later = time.monotonic() + 3
        monkeypatch.setattr(time, "monotonic", lambda: later)
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == ["saved", "mine"]
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, former)


def test_a_signal_in_the_last_iteration_reaches_who_waits_for_it_around_the_run():
    class Toy(TrainerBase):
        def run_step(self):
            if self.iter == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    seen = []
    former = signal.signal(signal.SIGTERM, lambda *_: seen.append(trainer.iter))
    try:
        trainer = Toy()
        trainer.register_hooks([hooks.StopOnSignal(lambda: seen.append("saved"))])
        trainer.train(0, 1, 3)
        assert seen == [2]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_without_a_folder_nothing_is_saved_and_signals_are_left_alone(market, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")  # of something else
    trainer = defaults.DefaultTrainer(tiny_cfg(market, ""))
    trainer.resume_or_load()
    assert trainer.start_iter == 0
    assert not any(isinstance(hook, hooks.StopOnSignal) for hook in trainer._hooks)


def test_signals_are_left_alone_outside_the_main_thread(market, tmp_path):
    done = []

    def work():
        before = signal.getsignal(signal.SIGTERM)
        trainer = defaults.DefaultTrainer(tiny_cfg(market, tmp_path, "SOLVER.MAX_EPOCH", 1))
        trainer.register_hooks([hooks.CallbackHook(after_step=lambda _: done.append(signal.getsignal(signal.SIGTERM)))])
        trainer.train()
        done.append(before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(120)
    assert len(done) == 4 and len(set(map(str, done))) == 1


def test_a_second_signal_ends_at_once(tmp_path):
    def work():
        hook = hooks.StopOnSignal(lambda: None, patience=0.2)
        hook.before_train()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


@pytest.mark.slow
def test_a_run_stops_resumably_with_its_exit_code(market, tmp_path):
    """The command line, and a signal to the whole group of processes, as a scheduler may send it."""
    file = config_file(market, tmp_path, "SOLVER.MAX_EPOCH", 100_000, "DATALOADER.NUM_WORKERS", 2, "LOG_PERIOD", 1)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(TRAIN_NET), "--config-file", str(file)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline, metrics = time.monotonic() + 200, tmp_path / "metrics.json"
        while not (metrics.exists() and metrics.read_text().count("\n") > 3) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == STOPPED_EXIT_CODE, errors
    assert "Traceback" not in errors
    found = checkpoint(tmp_path, (tmp_path / "last_checkpoint").read_text().removesuffix(".pth"))
    assert found["iteration"] > 0
    assert "SIGTERM: saving a checkpoint" in (tmp_path / "log.txt").read_text()


def test_the_newest_checkpoints_stay_and_files_of_others_too(whole, market, tmp_path):
    options = ("SOLVER.CHECKPOINT_PERIOD_ITERS", 1, "SOLVER.CHECKPOINT_KEEP", 2)
    (tmp_path / "model_iter_9999999.pth").write_bytes(b"not of this run")
    train(tiny_cfg(market, tmp_path, *options), stop_at=8)
    kept = {path.name for path in tmp_path.glob("model_*.pth")}
    assert kept == {f"model_iter_{name}.pth" for name in ("0000006", "0000007", "9999999")} | {"model_best.pth"}
    train(tiny_cfg(market, tmp_path, *options), resume=True)
    # the last epoch of the run is model_final, which does not count
    kept = {path.name for path in tmp_path.glob("model_*.pth")}
    names = ("model_iter_0000009", "model_iter_0000010", "model_iter_9999999", "model_best", "model_final")
    assert kept == {f"{name}.pth" for name in names}
    assert differing(checkpoint(whole)["model"], checkpoint(tmp_path)["model"]) == []


def test_evaluation_by_iterations_changes_nothing_and_finds_the_best_by_any_result(whole, market, tmp_path):
    options = ("TEST.EVAL_PERIOD_ITERS", 4, "TEST.EVAL_PERIOD", 0, "TEST.BEST_METRIC", "mINP")
    train(tiny_cfg(market, tmp_path, *options))
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    found = {line["iteration"]: line["mINP"] for line in lines if "mINP" in line}
    assert list(found) == [3, 7, 11]
    best = checkpoint(tmp_path, "model_best")
    assert best["metric"] == pytest.approx(max(found.values()))
    assert best["iteration"] == max(found, key=found.get)
    assert differing(checkpoint(whole)["model"], checkpoint(tmp_path)["model"]) == []


def test_an_unknown_metric_is_an_error_that_lists_the_names(market, tmp_path):
    options = ("TEST.BEST_METRIC", "nAP", "TEST.EVAL_PERIOD_ITERS", 1)
    trainer = defaults.DefaultTrainer(tiny_cfg(market, tmp_path, *options))
    with pytest.raises(KeyError, match=r"TEST\.BEST_METRIC: the evaluation has no result 'nAP'; it has Rank-1, .*mAP"):
        trainer.train()
    assert trainer.iter == 0


def test_a_run_killed_between_its_last_two_files_is_finished_by_resuming(whole, market, tmp_path):
    found = checkpoint(whole)
    torch.save(found, tmp_path / "model_best.pth")
    (tmp_path / "last_checkpoint").write_text("model_best.pth")
    (tmp_path / "model_final.pth.tmp").write_bytes(b"half")
    trainer, _ = train(tiny_cfg(market, tmp_path), resume=True)
    assert trainer.start_iter == 12
    assert differing(found["model"], checkpoint(tmp_path)["model"]) == []
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert not list(tmp_path.glob("*.tmp"))


class Counting(HookBase):
    def __init__(self):
        self.steps = 0

    def after_step(self):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class WithCounters(defaults.DefaultTrainer):
    def build_hooks(self):
        return [Counting(), Counting(), *super().build_hooks()]


def test_every_hook_with_a_state_is_stored_and_what_cannot_be_is_said(market, tmp_path, caplog):
    cfg = tiny_cfg(market, tmp_path)
    trainer = WithCounters(cfg)
    trainer._hooks[1].steps = 100
    trainer.register_hooks([StopAt(4)])
    with pytest.raises(Stop):
        trainer.train()
    resumed = WithCounters(cfg)
    late = Counting()
    resumed.register_hooks([late])
    resumed.resume_or_load()
    assert [hook.steps for hook in resumed._hooks[:2]] == [3, 103]
    assert "has no state of the hook Counting_3, which begins anew" in caplog.text
    resumed.train()
    assert "Counting has a state and is registered behind PeriodicCheckpointer" in caplog.text
    defaults.DefaultTrainer(cfg).resume_or_load()
    assert "has a state of the hook Counting_2, which this run has not" in caplog.text


# -- several processes ---------------------------------------------------------------------------------------------


def four_runs(whole, cut):
    """One run that nobody stops; one that a signal to the second process stops; the rest of that; and one that
    ends the process as stopped runs do."""
    train(whole)
    seed_all_rng(cut.SEED)
    stopped = train_until_told(cut, Signal(4) if comm.get_rank() else HookBase())
    assert stopped.iteration == 5  # the other process hears of it one iteration later
    resumed, _ = train(cut, resume=True)
    assert resumed.start_iter == stopped.iteration + 1
    last = defaults.DefaultTrainer(cut)
    last.register_hooks([Signal(0) if comm.get_rank() else HookBase()])
    last.train()


@pytest.mark.slow
def test_two_processes_stop_at_the_same_iteration_and_go_on_exactly(market, tmp_path, caplog):
    whole, cut = (tiny_cfg(market, tmp_path / name) for name in ("whole", "cut"))
    with pytest.raises(RunStopped) as found:  # by the fourth
        launch(four_runs, 2, args=(whole, cut), device="cpu")
    assert found.value.code == STOPPED_EXIT_CODE
    assert differing(checkpoint(tmp_path / "whole")["model"], checkpoint(tmp_path / "cut")["model"]) == []
    assert (tmp_path / "cut" / "last_checkpoint").read_text() == "model_iter_0000001.pth"
    # and on another number of processes: at the right place, and said
    (tmp_path / "cut" / "last_checkpoint").write_text("model_0001.pth")
    trainer, results = train(cut, resume=True)
    assert trainer.start_iter == 6 and results
    assert "The checkpoint was written by 2 processes, this run has 1" in caplog.text


def die_in_the_second_process(cfg):
    trainer = defaults.DefaultTrainer(cfg)
    trainer.register_hooks([Signal(3, signal.SIGKILL) if comm.get_rank() else HookBase()])
    trainer.train()


@pytest.mark.slow
def test_a_process_that_dies_takes_the_others_down(market, tmp_path):
    with pytest.raises(RankFailed, match=r"^rank 1 \(process \d+\) was killed by SIGKILL"):
        launch(die_in_the_second_process, 2, args=(tiny_cfg(market, tmp_path),), device="cpu")


def train_plainly(cfg):
    defaults.DefaultTrainer(cfg).train()


@pytest.mark.slow
def test_a_broken_image_is_named_by_the_whole_run(tmp_path):
    root = write_market(tmp_path / "data")
    broken = sorted((root / "Market-1501-v15.09.15" / "bounding_box_train").iterdir())[5]
    broken.write_bytes(broken.read_bytes()[:200])
    cfg = tiny_cfg(root, tmp_path / "run", "DATALOADER.NUM_WORKERS", 1)
    with pytest.raises(RankFailed, match=rf"cannot decode the image {broken}.*in DataLoader worker process 0"):
        launch(train_plainly, 2, args=(cfg,), device="cpu")


def test_a_dead_worker_is_named(market, tmp_path):
    def kill_a_worker(trainer):
        if trainer.iter == 1:
            worker = multiprocessing.active_children()[0]  # of the loader
            pids.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    pids: list[int] = []
    cfg = tiny_cfg(market, tmp_path, "DATALOADER.NUM_WORKERS", 2, "SOLVER.MAX_EPOCH", 500, "TEST.EVAL_PERIOD", 0)
    trainer = defaults.DefaultTrainer(cfg)
    trainer.register_hooks([hooks.CallbackHook(before_step=kill_a_worker)])
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*(was killed by SIGKILL|Killed)") as found:
        trainer.train()
    assert str(pids[0]) in str(found.value)
