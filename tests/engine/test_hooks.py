from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from fastreid.engine import TrainerBase, hooks
from fastreid.utils.events import JSONWriter


class Toy(TrainerBase):
    """Three iterations an epoch of nothing, with a model and an optimizer that hooks can see."""

    warmup_iters = 0
    metric_name = "metric"

    def __init__(self, model=None):
        super().__init__()
        self.model = model or nn.ModuleDict(
            {"backbone": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "heads": nn.Linear(2, 1)}
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1.0, weight_decay=0.1)
        self.seconds = 0

    def checkpoint_state(self, metric):
        return {"epoch": self.epoch, "iteration": self.iter, "metric": metric}

    def run_step(self):
        x = torch.randn(4, 2)
        self.optimizer.zero_grad()
        self.model["heads"](self.model["backbone"](x)).sum().backward()
        self.optimizer.step()


def run(hook_list, epochs=3, trainer=None):
    trainer = trainer or Toy()
    trainer.register_hooks(hook_list)
    trainer.train(0, epochs, 3)
    return trainer


def test_callback_hook_calls_what_it_was_given():
    seen = []
    moments = ("before_train", "after_train", "before_epoch", "after_epoch", "before_step", "after_step")
    run(
        [
            hooks.CallbackHook(
                **{name: lambda trainer, name=name: seen.append((name, trainer.iter)) for name in moments}
            )
        ],
        epochs=1,
    )
    assert seen[0] == ("before_train", 0)
    assert seen[-1] == ("after_train", 2)
    assert len([name for name, _ in seen if name == "after_step"]) == 3
    run([hooks.CallbackHook()], epochs=1)  # nothing given, nothing happens


def test_timer_records_seconds_and_sums_up(caplog):
    caplog.set_level("INFO")
    times = []
    trainer = Toy()
    after = hooks.CallbackHook(after_train=lambda t: times.extend(t.storage.history("time").values()))
    run([hooks.IterationTimer(warmup_iter=3), after], trainer=trainer)
    assert len(times) == 6  # 9 iterations, 3 to warm up
    assert "Overall training speed: 6 iterations in" in caplog.text
    assert "Total training time:" in caplog.text


def test_lr_is_stepped_per_epoch_and_warmed_up_per_iteration():
    class Recorder:
        def __init__(self):
            self.steps = []

        def step(self):
            self.steps.append((trainer.epoch, trainer.iter))

    trainer = Toy()
    trainer.warmup_iters = 4
    epochs, warmup = Recorder(), Recorder()
    rates = []
    seen = hooks.CallbackHook(after_step=lambda t: rates.append(t.storage.latest()["lr"]))
    run([hooks.LRScheduler(trainer.optimizer, {"lr_sched": epochs, "warmup_sched": warmup}), seen], trainer=trainer)
    assert [iteration for _, iteration in warmup.steps] == [0, 1, 2, 3]
    assert epochs.steps == [(0, 2), (1, 5), (2, 8)]
    assert rates == [(1.0, iteration) for iteration in range(9)]


def test_rates_that_differ_are_recorded_by_their_part():
    def weight(*size):
        return {"params": [nn.Parameter(torch.zeros(size))]}

    trainer = Toy()
    trainer.optimizer = torch.optim.SGD(
        [
            {**weight(9), "lr": 0.1},
            {**weight(2), "lr": 1.0, "part": "heads"},
            {**weight(1), "lr": 0.1, "weight_decay": 0.5},
            {**weight(1), "lr": 0.2, "part": "bias"},
            {**weight(1), "lr": 3.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.5)
    seen = []
    look = hooks.CallbackHook(
        after_step=lambda t: seen.append({n: v for n, (v, _) in t.storage.latest().items() if n.startswith("lr")})
    )
    trainer.run_step = lambda: trainer.optimizer.step()
    run([hooks.LRScheduler(trainer.optimizer, {"lr_sched": schedule}), look], epochs=2, trainer=trainer)
    assert seen[0] == {"lr": 0.1, "lr/heads": 1.0, "lr/bias": 0.2, "lr/group4": 3.0}
    assert seen[-1] == {"lr": 0.05, "lr/heads": 0.5, "lr/bias": 0.1, "lr/group4": 1.5}


def test_freeze_takes_its_parameters_out_of_the_gradient_norm():
    trainer, frozen = Toy(), []
    own = set(trainer.model["backbone"].parameters())
    look = hooks.CallbackHook(after_step=lambda t: frozen.append(set(t.frozen)))
    run([hooks.LayerFreeze(trainer.model, ["backbone"], 2), look], epochs=1, trainer=trainer)
    assert frozen == [own, own, set()]


def test_freeze_holds_weights_and_statistics_still_and_then_opens():
    trainer = Toy()
    frozen, heads = trainer.model["backbone"], trainer.model["heads"]
    start = {key: value.clone() for key, value in frozen.state_dict().items()}
    head_start = heads.weight.clone()
    equal_at = []

    def look(t):
        same = all(torch.equal(value, start[key]) for key, value in frozen.state_dict().items())
        equal_at.append((t.iter, same, frozen.training, heads.training))

    class Evaluation(hooks.CallbackHook):
        """Leaves the model as an evaluation of old left it: all in training mode."""

        def after_epoch(self):
            trainer.model.train()

    freeze = hooks.LayerFreeze(trainer.model, ["backbone"], 4)
    run([freeze, Evaluation(), hooks.CallbackHook(after_step=look)], trainer=trainer)
    assert equal_at[:4] == [(i, True, False, True) for i in range(4)]
    assert [entry[1:] for entry in equal_at[4:]] == [(False, True, True)] * 5
    assert not torch.equal(heads.weight, head_start)


def test_freeze_matches_whole_names():
    model = nn.ModuleDict({"b1": nn.Linear(2, 2), "b1_head": nn.Linear(2, 2)})
    hook = hooks.LayerFreeze(model, ["b1"], 4)
    assert {id(parameter) for parameter in hook._parameters} == {
        id(parameter) for parameter in model["b1"].parameters()
    }
    with pytest.raises(ValueError, match="b2"):
        hooks.LayerFreeze(model, ["b2"], 4)


@pytest.mark.parametrize(
    ("period", "epochs", "expected"), [(2, 5, [1, 3, 4]), (1, 2, [0, 1]), (0, 3, [2]), (7, 3, [2])]
)
def test_evaluation_is_periodic_and_after_the_last_epoch(period, epochs, expected):
    seen = []

    def evaluate():
        seen.append(trainer.epoch)
        return {"mAP": 50.0 + trainer.epoch}

    trainer = Toy()
    recorded = []
    after = hooks.CallbackHook(after_train=lambda t: recorded.append(t.storage.latest()["mAP"]))
    run([hooks.EvalHook(period, evaluate), after], epochs=epochs, trainer=trainer)
    assert seen == expected
    assert recorded == [(50.0 + expected[-1], 3 * epochs - 1)]


def test_evaluation_rejects_a_negative_period():
    with pytest.raises(ValueError, match=r"TEST\.EVAL_PERIOD must be >= 0"):
        hooks.EvalHook(-1, dict)


class Recorder:
    def __init__(self):
        self.saved = []

    def save(self, name, **kwargs):
        self.saved.append((name, kwargs["epoch"], kwargs["metric"]))


def test_checkpoints_hold_the_metric_of_their_own_epoch_and_the_best_is_kept():
    metrics = iter([10.0, 30.0, 20.0])
    recorder, trainer = Recorder(), Toy()
    best = hooks.BestCheckpointer(recorder)
    run(
        [hooks.EvalHook(2, lambda: {"metric": next(metrics)}), best, hooks.PeriodicCheckpointer(recorder, 3)],
        epochs=6,
        trainer=trainer,
    )
    assert recorder.saved == [
        ("model_best", 1, 10.0),
        ("model_0002", 2, None),  # not evaluated: no stale number
        ("model_best", 3, 30.0),
        ("model_final", 5, 20.0),
    ]
    resumed = hooks.BestCheckpointer(recorder)
    resumed.load_state_dict(best.state_dict())
    assert resumed.best == 30.0


@pytest.mark.parametrize(("iters", "expected"), [(2, [1, 3, 5]), (4, [2, 3, 5]), (3, [2, 5]), (1, [0, 1, 2, 3, 4, 5])])
def test_evaluation_by_iterations_comes_beside_that_by_epochs_and_once_at_a_time(iters, expected):
    seen = []
    trainer = Toy()

    def evaluate():
        seen.append(trainer.iter)
        return {"metric": 1.0}

    period = 0 if iters == 2 else 1
    run([hooks.EvalHook(period, evaluate, eval_period_iters=iters)], epochs=2, trainer=trainer)
    assert seen == expected
    with pytest.raises(ValueError, match=r"TEST\.EVAL_PERIOD_ITERS must be >= 0 iterations \(0: off\), got -1"):
        hooks.EvalHook(0, evaluate, eval_period_iters=-1)


def test_checkpoints_by_iterations_come_beside_those_by_epochs():
    class Recorder:
        names = []

        def save(self, name, **state):
            self.names.append((name, state["iteration"], state["epoch"]))

    run([hooks.PeriodicCheckpointer(Recorder(), 2, period_iters=2)], epochs=3)
    assert Recorder.names == [
        ("model_iter_0000001", 1, 0),
        ("model_iter_0000003", 3, 1),
        ("model_0001", 5, 1),  # due by both: one file
        ("model_iter_0000007", 7, 2),
        ("model_final", 8, 2),
    ]
    with pytest.raises(ValueError, match=r"SOLVER\.CHECKPOINT_PERIOD_ITERS must be >= 0"):
        hooks.PeriodicCheckpointer(Recorder(), 2, period_iters=-1)


def test_the_best_by_another_metric_does_not_count(caplog):
    trainer = Toy()
    trainer.metric_name = "mAP"
    best = hooks.BestCheckpointer(None)
    trainer.register_hooks([best])
    best.load_state_dict({"best": 40.0, "metric": "metric"})
    assert best.best == float("-inf")
    assert "The best model so far is that by metric; the one by mAP is looked for from here on" in caplog.text
    best.load_state_dict({"best": 40.0, "metric": "mAP"})
    assert best.best == 40.0


def test_results_without_the_usual_metric_are_said_once(caplog):
    run([hooks.EvalHook(1, lambda: {"Accuracy": 1.0}), hooks.BestCheckpointer(None)], epochs=2)
    assert caplog.text.count("the evaluation has no result 'metric'; it has Accuracy") == 1


def test_every_result_reaches_the_file_also_the_last_one(tmp_path):
    path = tmp_path / "metrics.json"
    trainer = Toy()
    count = hooks.CallbackHook(after_step=lambda t: t.storage.put_scalar("loss", float(t.iter)))
    writer = hooks.PeriodicWriter([JSONWriter(str(path))], period=3)
    run([count, hooks.EvalHook(1, lambda: {"mAP": float(trainer.epoch)}), writer], epochs=3, trainer=trainer)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["iteration"]: line["mAP"] for line in lines if "mAP" in line} == {2: 0.0, 5: 1.0, 8: 2.0}
    with pytest.raises(ValueError, match="LOG_PERIOD must be at least 1"):
        hooks.PeriodicWriter([], 0)


def test_the_progress_line_is_silent_in_a_pipe(capsys):
    run([hooks.ProgressLine()], epochs=1)
    assert capsys.readouterr().err == ""


def test_precise_bn_comes_once_after_the_last_epoch():
    trainer, seen = Toy(), []

    class Recorder(hooks.PreciseBN):
        def update_stats(self):
            seen.append((self.trainer.epoch, self.trainer.iter))

    run([Recorder(trainer.model, [], 5)], trainer=trainer)
    assert seen == [(2, 8)]
    with pytest.raises(ValueError, match=r"TEST\.PRECISE_BN\.NUM_ITER\) must be >= 1, got 0"):
        hooks.PreciseBN(trainer.model, [], 0)


def test_precise_bn_gives_the_statistics_of_its_batches():
    model = nn.Sequential(nn.BatchNorm1d(2))
    batches = [torch.randn(4, 2) for _ in range(3)]
    hooks.PreciseBN(model, batches, 3).update_stats()
    torch.testing.assert_close(model[0].running_mean, torch.cat(batches).mean(0))


def test_precise_bn_of_a_model_without_batch_norm_is_said(caplog):
    hooks.PreciseBN(nn.Linear(2, 2), [], 5).update_stats()
    assert "No precise batch norm" in caplog.text
    assert hooks.get_bn_modules(nn.Linear(2, 2)) == []


def test_profiler_writes_a_trace_of_the_iterations_that_are_wanted(tmp_path):
    run([hooks.AutogradProfiler(lambda trainer: trainer.iter in (1, 4), str(tmp_path / "new"), use_cuda=False)])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "profiler-trace-iter1.json",
        "profiler-trace-iter4.json",
    ]
    trace = json.loads((tmp_path / "new" / "profiler-trace-iter1.json").read_text())
    assert any("aten::addmm" in str(event.get("name")) for event in trace["traceEvents"])


def test_profiler_stops_after_an_error(tmp_path):
    class Fails(Toy):
        def run_step(self):
            raise RuntimeError("no")

    hook = hooks.AutogradProfiler(lambda trainer: True, str(tmp_path))
    with pytest.raises(RuntimeError, match="no"):
        run([hook], trainer=Fails())
    with torch.profiler.profile():  # another one can start
        torch.ones(1)
    assert list(tmp_path.iterdir()) == []
