"""projects/FastTune: spaces are checked, studies are exact in any number of processes, and the best config is one."""

from __future__ import annotations

import csv
import json
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from fastreid.config import get_cfg

from ..engine.tiny import tiny_cfg, write_market

optuna = pytest.importorskip("optuna", reason="FastTune needs Optuna, which the extras tune and dev bring")

PROJECT = Path(__file__).resolve().parents[2] / "projects" / "FastTune"
sys.path.append(str(PROJECT))

import fasttune  # noqa: E402
from fasttune.results import importances, summary  # noqa: E402
from fasttune.samplers import PRUNERS, SAMPLERS, GridSampler, build_pruner, build_sampler  # noqa: E402
from fasttune.study import trial_config  # noqa: E402
from fasttune.train import ReportHook, default_metric  # noqa: E402
from fasttune.trials import counted, recover  # noqa: E402

sys.path.remove(str(PROJECT))

State = optuna.trial.TrialState
SPACE = {"SOLVER.BASE_LR": {"log": [1e-4, 1e-2]}, "MODEL.LOSSES.TRI.MARGIN": {"float": [0.1, 0.5]}}


def parse(raw, cfg=None):
    return fasttune.parse_space(raw, cfg or get_cfg(), source="space.yml")


def make_plan(folder, space=None, **options):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(folder)
    return fasttune.Plan(cfg=cfg, space=parse(space or SPACE, cfg), **{"metric": "mAP", **options})


def score(cfg):
    """The best is at BASE_LR 1e-3."""
    return 100 - 20 * abs(math.log10(cfg.SOLVER.BASE_LR) + 3)


def good(cfg, report):
    for epoch in (1, 2, 3):
        report(epoch, {"mAP": score(cfg) * epoch / 3}, final=epoch == 3)


def values(study):
    return [trial.params for trial in study.trials]


# -- the space ---------------------------------------------------------------------------------------


def test_dimensions_of_every_kind_have_the_type_of_their_key():
    space = parse(
        {
            "SOLVER": {"BASE_LR": {"log": ["1e-5", "1e-2"]}, "WARMUP_ITERS": {"log": [1, 1000]}},
            "MODEL.LOSSES.TRI.MARGIN": {"float": [0.1, 0.5], "step": 0.1},
            "DATALOADER.NUM_INSTANCE": {"int": [2, 8], "step": 2},
            "SOLVER.IMS_PER_BATCH": {"choice": [32, 64.0]},
            "SOLVER.STEPS": {"choice": [[30, 55], "(40, 90)"]},
            "MODEL.LOSSES.NAME": {"choice": [["CrossEntropyLoss"], '("CrossEntropyLoss", "TripletLoss")']},
            "INPUT.FLIP.ENABLED": {"choice": [True, False]},
            "SOLVER.OPT_ARGS.eps": {"log": [1e-9, 1e-6]},
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {}
    for _ in range(30):
        for key, value in space.suggest(study.ask()).items():
            seen.setdefault(key, []).append(value)
    assert all(1e-5 <= value <= 1e-2 for value in seen["SOLVER.BASE_LR"])
    assert min(seen["SOLVER.BASE_LR"]) < 1e-4  # evenly on a logarithmic scale
    assert {type(value) for value in seen["SOLVER.WARMUP_ITERS"]} == {int}
    assert {round(value, 6) for value in seen["MODEL.LOSSES.TRI.MARGIN"]} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert set(seen["DATALOADER.NUM_INSTANCE"]) == {2, 4, 6, 8}
    assert set(seen["SOLVER.IMS_PER_BATCH"]) == {32, 64}
    assert [40, 90] in seen["SOLVER.STEPS"] and [30, 55] in seen["SOLVER.STEPS"]
    assert ("CrossEntropyLoss", "TripletLoss") in seen["MODEL.LOSSES.NAME"]
    assert {type(value) for value in seen["INPUT.FLIP.ENABLED"]} == {bool}
    assert all(1e-9 <= value <= 1e-6 for value in seen["SOLVER.OPT_ARGS.eps"])
    for trial in study.trials:
        settings = space.decode(trial.params)
        assert settings == {key: seen[key][trial.number] for key in settings}


@pytest.mark.parametrize(
    ("raw", "error", "text"),
    [
        (
            {"SOLVER.BASE_RL": {"log": [1e-5, 1e-2]}},
            KeyError,
            "no config key SOLVER.BASE_RL. Did you mean SOLVER.BASE_LR",
        ),
        ({"SOLVER": {"log": [1, 2]}}, ValueError, "SOLVER in space.yml is a group of keys"),
        ({"OUTPUT_DIR": {"choice": ["a"]}}, ValueError, "each trial has a folder of its own"),
        ({"SOLVER.BASE_LR": [1e-5, 1e-2]}, ValueError, "a dimension is {log:"),
        ({"SOLVER.BASE_LR": {"lgo": [1e-5, 1e-2]}}, ValueError, "a dimension is {log:"),
        ({"SOLVER.BASE_LR": {"log": [1e-5, 1e-2], "step": 1}}, ValueError, "only float and int take a step"),
        ({"SOLVER.BASE_LR": {"log": [0, 1e-2]}}, ValueError, "begins above 0"),
        ({"SOLVER.BASE_LR": {"float": [1, 1]}}, ValueError, "low must be below high"),
        ({"SOLVER.BASE_LR": {"float": ["low", 1]}}, ValueError, "must be finite numbers, got 'low'"),
        ({"SOLVER.MAX_EPOCH": {"float": [1, 9]}}, ValueError, "holds whole numbers.*write int or log"),
        ({"SOLVER.MAX_EPOCH": {"int": [1, 9], "step": 20}}, ValueError, "step must be above 0 and at most"),
        ({"SOLVER.MAX_EPOCH": {"log": [1, 9.5]}}, ValueError, "9.5 does not suit the key"),
        ({"SOLVER.OPT": {"int": [1, 9]}}, ValueError, "1 does not suit the key.*must be str"),
        ({"SOLVER.OPT": {"choice": []}}, ValueError, "choice must be a list of values"),
        ({"SOLVER.OPT": {"choice": ["SGD", 3]}}, ValueError, "3 does not suit the key"),
        ({"SOLVER.OPT": {"choice": ["SGD", "SGD"]}}, ValueError, "'SGD' is there twice"),
        ({"SOLVER.OPT": {"choice": ["SGD"]}, "SOLVER": {"OPT": {"choice": ["Adam"]}}}, ValueError, "is twice in"),
        ({}, ValueError, "must hold a mapping of config keys"),
    ],
)
def test_a_mistake_in_the_space_is_named(raw, error, text):
    with pytest.raises(error, match=text):
        parse(raw)


def test_the_shipped_spaces_suit_their_configs():
    for path in sorted((PROJECT / "spaces").glob("*.yml")):
        assert fasttune.load_space(str(path), get_cfg()).dimensions
    with pytest.raises(FileNotFoundError, match=r"--space nowhere\.yml"):
        fasttune.load_space("nowhere.yml", get_cfg())


# -- the search --------------------------------------------------------------------------------------


def test_a_study_finds_the_best_and_writes_it_down(tmp_path):
    plan = make_plan(tmp_path, trials=16, opts=("SOLVER.MOMENTUM", "0.8"))
    study = fasttune.work(plan, good)
    assert len(study.trials) == 16
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [int(row["trial"]) for row in rows] == list(range(16))
    assert {row["state"] for row in rows} == {"complete", "pruned"}
    for row, trial in zip(rows, study.trials):
        cfg = trial_config(plan, trial.number, plan.space.decode(trial.params))
        assert float(row["mAP"]) == pytest.approx(score(cfg) * int(row["epoch"]) / 3)
        assert (tmp_path / f"trial_{trial.number:04d}").is_dir() and cfg.OUTPUT_DIR.endswith(
            f"trial_{trial.number:04d}"
        )
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["mAP"]))
    assert abs(math.log10(float(best["SOLVER.BASE_LR"])) + 3) < 0.4
    loaded = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert list(loaded) == ["SOLVER", "MODEL"]  # no config file was tuned
    assert loaded["SOLVER"] == {"MOMENTUM": plan.cfg.SOLVER.MOMENTUM, "BASE_LR": float(best["SOLVER.BASE_LR"])}
    importance = importances(study)
    assert importance["SOLVER.BASE_LR"] > 0.6 and sum(importance.values()) == pytest.approx(1)
    table = summary(plan, study)
    assert table.splitlines()[4].split()[0] == best["trial"]
    assert "finished" in table and "pruned" in table and "importance" in table


def test_the_best_config_loads_over_the_file_that_was_tuned(tmp_path):
    base = tmp_path / "base.yml"
    base.write_text("SOLVER: {MAX_EPOCH: 7}\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(base))
    opts = ("MODEL.LOSSES.NAME", "('CrossEntropyLoss',)", "OUTPUT_DIR", str(tmp_path / "out"))
    cfg.merge_from_list(list(opts))
    space = parse(
        {**SPACE, "SOLVER.STEPS": {"choice": [[1, 2], [3]]}, "SOLVER.OPT_ARGS.eps": {"log": [1e-9, 1e-6]}}, cfg
    )
    plan = fasttune.Plan(cfg=cfg, space=space, trials=3, metric="mAP", config_file=str(base), opts=opts)
    study = fasttune.work(plan, good)
    loaded = get_cfg()
    loaded.merge_from_file(str(tmp_path / "out" / "best.yaml"))
    wanted = trial_config(plan, 0, space.decode(study.best_params))
    wanted.defrost()
    wanted.OUTPUT_DIR = loaded.OUTPUT_DIR
    assert loaded == wanted and loaded.SOLVER.MAX_EPOCH == 7


def test_a_continued_study_is_the_uninterrupted_one(tmp_path):
    whole = fasttune.work(make_plan(tmp_path / "whole", trials=12), good)
    for trials in (1, 11, 12, 12):
        parts = fasttune.work(make_plan(tmp_path / "parts", trials=trials), good)
        assert len(parts.trials) == trials
    assert values(parts) == values(whole)
    assert values(fasttune.work(make_plan(tmp_path / "other", trials=2, seed=1), good)) != values(whole)[:2]


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_stop_what_is_worse_and_spare_what_is_best(name):
    pruner = build_pruner(name, startup=2, first=1, last=9)
    study = optuna.create_study(study_name="named", direction="maximize", pruner=pruner)  # hyperband hashes the name
    ends = []
    for quality in (9.0, 8.0, 7.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 10.0):
        trial = study.ask()
        report = fasttune.Reporter(trial, "mAP")
        try:
            for epoch in range(1, 10):
                report(epoch, {"mAP": quality * epoch}, final=epoch == 9)
        except optuna.TrialPruned:
            study.tell(trial, state=State.PRUNED)
        else:
            study.tell(trial, report.last)
        ends.append(max(study.trials[-1].intermediate_values))
    assert ends[-1] == 9  # the best
    assert (min(ends) == 9) == (name == "none")
    if name == "median":
        assert ends == [9, 9, *[1] * 9, 9]


def test_the_metric_is_by_default_that_of_the_best_model():
    cfg = get_cfg()
    assert default_metric(cfg) == "metric"
    cfg.merge_from_list(["TEST.BEST_METRIC", "ema/mAP", "DATASETS.TESTS", ("Market1501", "DukeMTMC")])
    assert default_metric(cfg) == "Market1501/ema/mAP"


def test_a_result_of_an_average_that_has_not_begun_is_waited_for():
    class Trainer:
        epoch, max_epoch, iter = 0, 3, 2
        averages = {"swa": SimpleNamespace(started=False)}
        storage = SimpleNamespace(latest=lambda: {"swa/mAP": (70.0, 2)})

    class Reporter(list):
        metric = "swa/mAP"

        def __call__(self, epoch, results, *, final):
            self.append((epoch, results, final))

    hook, trainer = ReportHook(reports := Reporter(), eval_period=1), Trainer()
    hook.trainer = trainer
    hook.after_epoch()
    assert not reports
    trainer.averages["swa"].started = True
    hook.after_epoch()
    assert reports == [(1, {"swa/mAP": 70.0}, False)]


def test_a_failed_trial_is_recorded_and_the_study_goes_on(tmp_path):
    def run(cfg, report):
        if cfg.SOLVER.BASE_LR > 1e-3:
            raise FloatingPointError("the loss became NaN")
        report(1, {"mAP": math.nan if cfg.MODEL.LOSSES.TRI.MARGIN < 0.2 else score(cfg)}, final=True)

    study = fasttune.work(make_plan(tmp_path, trials=12, sampler="random", max_failures=12), run)
    assert len(study.trials) == 12
    for trial, row in zip(study.trials, csv.DictReader((tmp_path / "trials.csv").open())):
        nan = trial.params["MODEL.LOSSES.TRI.MARGIN"] < 0.2
        fails = trial.params["SOLVER.BASE_LR"] > 1e-3 or nan
        assert trial.state == (State.FAIL if fails else State.COMPLETE)
        assert (tmp_path / f"trial_{trial.number:04d}" / "error.txt").is_file() == fails
        assert bool(row["error"]) == fails
    assert {trial.state for trial in study.trials} == {State.FAIL, State.COMPLETE}


def test_nothing_but_failures_stops_the_study(tmp_path):
    def run(cfg, report):
        raise FileNotFoundError("no images")

    with pytest.raises(fasttune.FatalError, match="3 trials on end failed, the last with FileNotFoundError: no images"):
        fasttune.work(make_plan(tmp_path, trials=12, max_failures=3), run)


def test_a_metric_that_is_not_there_stops_the_study_and_costs_no_trial(tmp_path):
    with pytest.raises(fasttune.FatalError, match="--metric map: there is no such result; there are mAP"):
        fasttune.work(make_plan(tmp_path, trials=3, metric="map"), good)
    study = optuna.load_study(study_name="study", storage=fasttune.study.open_storage(make_plan(tmp_path)))
    assert counted(study.trials) == []
    with pytest.raises(fasttune.FatalError, match="without an evaluation"):
        fasttune.work(make_plan(tmp_path / "none", trials=3), lambda cfg, report: None)


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_trial_is_tried_again_and_does_not_count(tmp_path, how):
    calls = []

    def run(cfg, report):
        calls.append(cfg.SOLVER.BASE_LR)
        if len(calls) == 3:
            raise how
        good(cfg, report)

    plan = make_plan(tmp_path, trials=4, pruner="none")
    with pytest.raises(KeyboardInterrupt):
        fasttune.work(plan, run)
    study = fasttune.work(plan, run)
    assert len(calls) == 5 and calls[3] == calls[2]
    assert [trial.number for trial in counted(study.trials)] == [0, 1, 3, 4]
    assert [trial.state for trial in counted(study.trials)] == [State.COMPLETE] * 4


def test_the_trial_of_a_dead_process_is_tried_again(tmp_path):
    plan = make_plan(tmp_path, trials=2)
    study = fasttune.open_study(plan)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=60)
    for pid, host in ((gone.pid, os.uname().nodename), (os.getpid(), os.uname().nodename), (gone.pid, "elsewhere")):
        trial = study.ask()
        plan.space.suggest(trial)
        trial.set_user_attr("pid", pid)
        trial.set_user_attr("host", host)
    assert recover(study) == [0] and recover(study) == []
    assert study.trials[3].state == State.WAITING
    assert study.ask().number == 3
    assert plan.space.suggest(optuna.trial.Trial(study, study.trials[3]._trial_id)) == study.trials[0].params
    assert recover(study, everything=True) == [1, 2, 3]


def test_a_grid_is_taken_once_also_with_a_break(tmp_path):
    space = {
        "SOLVER.IMS_PER_BATCH": {"choice": [32, 64]},
        "MODEL.LOSSES.TRI.MARGIN": {"float": [0.1, 0.3], "step": 0.1},
    }
    calls = []

    def run(cfg, report):
        calls.append((cfg.SOLVER.IMS_PER_BATCH, round(cfg.MODEL.LOSSES.TRI.MARGIN, 6)))
        if len(calls) == 2:
            raise KeyboardInterrupt
        good(cfg, report)

    plan = make_plan(tmp_path, space, trials=100, sampler="grid")
    with pytest.raises(KeyboardInterrupt):
        fasttune.work(plan, run)
    fasttune.work(plan, run)
    assert len(calls) == 7 and calls.pop(1) == calls[1]
    assert sorted(calls) == [(size, margin) for size in (32, 64) for margin in (0.1, 0.2, 0.3)]
    with pytest.raises(ValueError, match=r"SOLVER\.BASE_LR has no steps"):
        GridSampler(parse(SPACE), 0)


def test_the_baseline_comes_first(tmp_path):
    space = {"SOLVER.BASE_LR": {"log": [1e-5, 1e-2]}, "SOLVER.STEPS": {"choice": [[1], [30, 55]]}}
    study = fasttune.work(make_plan(tmp_path, space, trials=2, baseline=True), good)
    cfg = get_cfg()
    assert study.trials[0].params == {"SOLVER.BASE_LR": cfg.SOLVER.BASE_LR, "SOLVER.STEPS": "[30, 55]"}
    assert study.trials[1].params != study.trials[0].params
    with pytest.raises(ValueError, match=r"SOLVER\.BASE_LR is 0\.0003 in the config, which is outside"):
        fasttune.work(make_plan(tmp_path, {"SOLVER.BASE_LR": {"log": [1e-3, 1e-2]}}, baseline=True), good)


def test_a_study_is_continued_only_with_what_it_was_begun_with(tmp_path):
    fasttune.work(make_plan(tmp_path, trials=1), good)
    other = make_plan(tmp_path)
    other.cfg.SOLVER.MAX_EPOCH = 5
    for plan, text in (
        (other, "SOLVER.MAX_EPOCH 120 .now 5."),
        (make_plan(tmp_path, metric="Rank-1"), "metric 'mAP' .now 'Rank-1'."),
        (make_plan(tmp_path, direction="minimize"), "direction 'maximize'"),
        (make_plan(tmp_path, {"SOLVER.BASE_LR": {"log": [1e-4, 1e-2]}}), "the keys SOLVER.BASE_LR, MODEL"),
        (make_plan(tmp_path, {**SPACE, "SOLVER.BASE_LR": {"float": [1e-4, 1e-2]}}), "other values of SOLVER.BASE_LR"),
    ):
        with pytest.raises(ValueError, match=text):
            fasttune.work(plan, good)
    wider = make_plan(tmp_path, {**SPACE, "SOLVER.BASE_LR": {"log": [1e-5, 1e-2]}}, trials=2)
    wider.cfg.DATALOADER.NUM_WORKERS = 1
    assert len(fasttune.work(wider, good).trials) == 2
    with pytest.raises(fasttune.FatalError, match="is there already, from another study"):
        fasttune.work(make_plan(tmp_path, study="another", trials=1), good)


def test_what_is_not_possible_is_refused(tmp_path):
    for options, text in (
        ({"trials": 0}, "--trials must be at least 1, got 0"),
        ({"max_failures": 0}, "--max-failures must be at least 1"),
        ({"direction": "up"}, "--direction must be one of maximize, minimize"),
    ):
        with pytest.raises(ValueError, match=text):
            make_plan(tmp_path, **options)
    with pytest.raises(ValueError, match="OUTPUT_DIR is empty"):
        make_plan("")
    with pytest.raises(ValueError, match="--sampler must be one of tpe"):
        build_sampler("annealing", parse(SPACE), 0)
    with pytest.raises(ValueError, match="--pruner must be one of median"):
        build_pruner("mean", startup=0, first=1, last=1)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        fasttune.open_study(make_plan(tmp_path, storage=str(tmp_path / "none" / "journal.log")))
    assert len({type(build_sampler(name, parse({"SOLVER.OPT": {"choice": ["SGD"]}}), 0)) for name in SAMPLERS}) == 2


# -- several processes -------------------------------------------------------------------------------

_WORKER = """
import sys, time
sys.path.append({project!r})
import fasttune
from fastreid.config import get_cfg

def run(cfg, report):
    time.sleep(0.1)
    report(1, {{"mAP": cfg.SOLVER.BASE_LR}}, final=True)

cfg = get_cfg()
cfg.OUTPUT_DIR = {folder!r}
space = fasttune.parse_space({space!r}, cfg, source="space")
plan = fasttune.Plan(cfg=cfg, space=space, trials=12, metric="mAP", storage={storage!r}, sampler={sampler!r})
fasttune.work(plan, run)
"""


@pytest.mark.slow
def test_processes_share_a_study_and_run_no_trial_twice(tmp_path):
    storage, sampler = f"sqlite:///{tmp_path}/study.db", "grid"
    space = {"SOLVER.BASE_LR": {"float": [0.1, 1.2], "step": 0.1}}
    code = _WORKER.format(project=str(PROJECT), folder=str(tmp_path), storage=storage, sampler=sampler, space=space)
    workers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        errors = [worker.communicate(timeout=300)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], errors
    study = fasttune.open_study(make_plan(tmp_path, space, storage=storage, sampler=sampler))
    trials = counted(study.trials)
    assert [trial.state for trial in trials] == [State.COMPLETE] * 12
    assert len(list(tmp_path.glob("trial_*"))) == 12
    assert len({trial.user_attrs["pid"] for trial in trials}) > 1
    found = sorted(trial.params["SOLVER.BASE_LR"] for trial in trials)
    assert found == pytest.approx([index / 10 for index in range(1, 13)])


# -- the whole way -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A config file of a run that takes a second, a space, and the command that searches it."""
    folder = tmp_path_factory.mktemp("fasttune")
    root = write_market(folder / "datasets")
    cfg = tiny_cfg(root, folder / "out", "TEST.EVAL_PERIOD", 1)
    (folder / "tiny.yml").write_text(cfg.dump())
    space = {"SOLVER.BASE_LR": {"log": [1e-5, 1e-2]}, "SOLVER.IMS_PER_BATCH": {"choice": [8, 12]}}
    (folder / "space.yml").write_text(yaml.safe_dump(space))
    command = [
        sys.executable, str(PROJECT / "tune.py"), "--config-file", str(folder / "tiny.yml"),
        "--space", str(folder / "space.yml"), "--pruner-startup", "1",
    ]  # fmt: skip
    return folder, command


def environment():
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


def call(monkeypatch, script, *arguments):
    """Run a script in this process; return what it gives to ``sys.exit``."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.slow
def test_a_recipe_is_tuned_continued_and_trained_again(tiny_run, tmp_path, monkeypatch):
    folder, command = tiny_run
    first = ["--baseline", "--trials", "2", "OUTPUT_DIR", tmp_path]
    assert call(monkeypatch, *command[1:], *first) == 0
    more = ["--baseline", "--trials", "5", "--processes", "2", "OUTPUT_DIR", str(tmp_path)]
    run = subprocess.run([*command, *more], capture_output=True, text=True, timeout=400, env=environment())
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 of 5 trials are done" in run.stdout and "finished" in run.stdout
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [int(row["trial"]) for row in rows] == [0, 1, 2, 3, 4]
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    base = get_cfg()
    base.merge_from_file(str(folder / "tiny.yml"))
    assert float(rows[0]["SOLVER.BASE_LR"]) == base.SOLVER.BASE_LR
    for row in rows:
        own = tmp_path / f"trial_{int(row['trial']):04d}"
        lines = [json.loads(line) for line in (own / "metrics.json").read_text().splitlines()]
        evaluated = [line["metric"] for line in lines if "metric" in line]
        assert len(evaluated) == int(row["epoch"]) and evaluated[-1] == pytest.approx(float(row["metric"]))
        assert (row["state"] == "complete") == (int(row["epoch"]) == base.SOLVER.MAX_EPOCH)
        assert "Traceback" not in (own / "log.txt").read_text()
    best = get_cfg()
    best.merge_from_file(str(tmp_path / "best.yaml"))
    top = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["metric"]))
    assert float(top["SOLVER.BASE_LR"]) == best.SOLVER.BASE_LR
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["_BASE_"] == str(folder / "tiny.yml")
    # it is a config like any other, and gives what the trial gave
    train = PROJECT.parents[1] / "tools" / "train_net.py"
    again = ["--config-file", tmp_path / "best.yaml", "OUTPUT_DIR", tmp_path / "again"]
    assert call(monkeypatch, train, *again) == 0
    results = json.loads((tmp_path / "again" / "results.json").read_text())
    assert results["Market1501"]["metric"] == pytest.approx(float(top["metric"]))


@pytest.mark.slow
def test_a_pruned_training_closes_its_files_and_tells_no_error(tiny_run, tmp_path):
    folder, _ = tiny_run
    cfg = get_cfg()
    cfg.merge_from_file(str(folder / "tiny.yml"))
    cfg.OUTPUT_DIR = str(tmp_path)
    plan = fasttune.Plan(cfg=cfg, space=parse(SPACE, cfg), trials=2, metric=default_metric(cfg), pruner="none")
    study = fasttune.open_study(plan)
    study.pruner = optuna.pruners.ThresholdPruner(upper=-1)  # prunes everything

    def objective(trial):
        report = fasttune.Reporter(trial, plan.metric)
        fasttune.train_trial(trial_config(plan, trial.number, plan.space.suggest(trial)), report)

    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == State.PRUNED and list(study.trials[0].intermediate_values) == [1]
    own = tmp_path / "trial_0000"
    log = (own / "log.txt").read_text()
    assert "Starting training" in log and "Traceback" not in log and "ERROR" not in log
    assert len((own / "metrics.json").read_text().splitlines()) >= 1
    descriptors = Path("/proc/self/fd")
    opened = [os.path.realpath(link) for link in descriptors.iterdir()] if descriptors.is_dir() else []
    assert [name for name in opened if name.startswith(str(own))] == []


@pytest.mark.slow
def test_a_signal_stops_the_search_and_leaves_the_trial_to_be_repeated(tiny_run, tmp_path):
    _, command = tiny_run
    long = [*command, "--trials", "2", "OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_EPOCH", "1000"]
    worker = subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    try:
        metrics, deadline = tmp_path / "trial_0000" / "metrics.json", time.monotonic() + 200
        while not (metrics.is_file() and metrics.read_text()) and worker.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        out, _ = worker.communicate(timeout=200)
    finally:
        worker.kill()
    assert worker.returncode == 130, out
    assert "Trial 0 was interrupted; its values will be tried again" in out
    assert out.rstrip().endswith("Interrupted; the same command goes on.")
    storage = fasttune.study.open_storage(make_plan(tmp_path))
    study = optuna.load_study(study_name="study", storage=storage)
    assert [trial.state for trial in study.trials] == [State.FAIL, State.WAITING] and counted(study.trials) == []


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--processes", "0"], "--processes must be at least 1, got 0"),
        (["SOLVER.BASE_RL", "1"], "did you mean SOLVER.BASE_LR"),
        (["--storage", "/nowhere/at/all.log", "OUTPUT_DIR", "{}"], "--storage /nowhere/at/all.log"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(tiny_run, tmp_path, monkeypatch, more, text):
    more = [part.format(tmp_path) for part in more]
    assert text in call(monkeypatch, *tiny_run[1][1:], *more)
