"""Averages of the weights: what the hooks average, and what a run makes of them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fastreid.engine import DefaultPredictor, DefaultTrainer, TrainerBase, defaults, hooks, launch
from fastreid.engine.averaging import build_averages, build_swa
from fastreid.engine.hooks.ema import warmed_up_momentum
from fastreid.engine.hooks.swa import swa_rate
from fastreid.layers.precise_bn import update_bn_stats
from fastreid.layers.weight_average import WeightAverage
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.env import seed_all_rng
from fastreid.utils.weights import unwrap_model

from .test_defaults import checkpoint, differing, train
from .tiny import HEIGHT, WIDTH, tiny_cfg

ROOT = Path(__file__).resolve().parents[2]
EMA = ("SOLVER.EMA.ENABLED", True)
SWA = ("SOLVER.SWA.ENABLED", True, "SOLVER.SWA.START_EPOCH", 1, "SOLVER.SWA.BN_ITERS", 3)


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


class Toy(TrainerBase):
    """Three iterations an epoch; the gradients of those in ``skipped`` overflow, so that there is no step."""

    warmup_iters = 0

    def __init__(self, skipped=()):
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.5)
        self.scaler = torch.amp.GradScaler("cpu")
        self.skipped = skipped
        self.seen = []

    def weights(self):
        return {name: value.clone() for name, value in self.model.state_dict().items() if value.is_floating_point()}

    def run_step(self):
        loss = (self.model(torch.randn(4, 2, dtype=torch.float64)) - 1).square().mean()
        self.scaler.scale(loss * (float("inf") if self.iter in self.skipped else 1)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.seen.append(self.weights())


def run(trainer, hook_list, epochs=3):
    trainer.register_hooks(hook_list)
    trainer.train(0, epochs, 3)


@pytest.mark.parametrize(("momentum", "warmup"), [(0.9, 1.0), (0.999, 10.0), (0.3, 2.5)])
def test_ema_is_its_definition_and_counts_steps_of_the_optimizer(momentum, warmup):
    trainer = Toy(skipped=(1, 4, 5))
    average = WeightAverage(trainer.model)
    expected = trainer.weights()  # training starts there
    run(trainer, [hooks.EMA(average, momentum, warmup)])
    for t, iteration in enumerate((0, 2, 3, 6, 7, 8)):
        m = min(momentum, (1 + t) / (warmup + t))
        expected = {name: m * old + (1 - m) * trainer.seen[iteration][name] for name, old in expected.items()}
    assert average.updates == 6
    torch.testing.assert_close(average.state_dict()["average"], expected, rtol=1e-12, atol=1e-12)
    before = average.state_dict()["average"]["0.weight"].clone()
    trainer.optimizer.step()  # the run is over, and the hook has let go
    assert torch.equal(average.state_dict()["average"]["0.weight"], before)


def test_a_warm_up_spans_a_share_of_the_run_until_the_momentum_is_reached():
    assert [warmed_up_momentum(t, 0.999, 10) for t in (0, 90, 8989, 8990, 10**6)] == [
        0.1, 0.91, 8990 / 8999, 0.999, 0.999
    ]  # fmt: skip
    assert warmed_up_momentum(0, 0.999, 1) == 0.999


def test_swa_is_the_mean_of_its_samples():
    trainer = Toy()
    hook = hooks.SWA(2, 3, 0.0, 0.0)  # as v1.3 calls it, without an average of one's own
    run(trainer, [hook])
    samples = [trainer.seen[iteration] for iteration in (4, 7)]
    expected = {name: sum(sample[name] for sample in samples) / 2 for name in samples[0]}
    assert hook.average.updates == 2
    torch.testing.assert_close(hook.average.state_dict()["average"], expected, rtol=1e-12, atol=1e-12)


class Halving:
    """A schedule that goes by the rate that it finds, as torch's do."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self):
        self.optimizer.param_groups[0]["lr"] /= 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((6, 3, 0.0, 0.0), [0.5] * 3 + [0.25] * 3 + [0.125] * 3),
        ((4, 3, 0.8, 0.0), [0.5] * 3 + [0.25] + [0.4] * 5),
        # half a cosine from 0.4 down to 0.1 in cycles of two: half way, then the end
        ((3, 2, 0.8, 0.1, True), [0.5] * 3 + [0.25, 0.1, 0.25, 0.1, 0.25, 0.1]),
    ],
)
def test_swa_holds_the_rate_and_the_schedule_goes_on_underneath(options, expected):
    trainer, rates, between = Toy(), [], []
    seen = hooks.CallbackHook(
        before_step=lambda t: rates.append((t.optimizer.param_groups[0]["lr"], t.storage.latest()["lr"][0])),
        after_step=lambda t: between.append(t.optimizer.param_groups[0]["lr"]),
    )
    schedule = hooks.LRScheduler(trainer.optimizer, {"lr_sched": Halving(trainer.optimizer)})
    run(trainer, [hooks.SWA(*options), schedule, seen])
    assert [rate for rate, _ in rates] == pytest.approx(expected)
    assert [recorded for _, recorded in rates] == pytest.approx(expected)
    assert between == [0.5] * 3 + [0.25] * 3 + [0.125] * 3  # what a checkpoint holds


def test_the_rate_is_annealed_from_the_schedules():
    rates = [swa_rate(0.1, 0.5, step, anneal_iters=4) for step in range(6)]
    half = 0.5**0.5
    assert rates == pytest.approx([0.3 - 0.2 * half, 0.3, 0.3 + 0.2 * half, 0.5, 0.5, 0.5])


def test_an_interrupted_iteration_leaves_the_rate_of_the_schedule():
    trainer = Toy()

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trainer, [hooks.SWA(0, 1, 0.1, 0.0), hooks.CallbackHook(before_step=stop)])
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: hooks.EMA(a, 1.0), r"SOLVER\.EMA\.MOMENTUM must be in \[0, 1\), got 1\.0"),
        (lambda a: hooks.EMA(a, 0.9, 0.5), r"SOLVER\.EMA\.WARMUP must be >= 1 \(1: none\), got 0\.5"),
        (lambda a: hooks.SWA(-1, 1, 0.0, 0.0), r"SOLVER\.SWA\.START_EPOCH\) must be >= 0, got -1"),
        (lambda a: hooks.SWA(0, 0, 0.0, 0.0), r"SOLVER\.SWA\.PERIOD_ITERS\) must be >= 1, got 0"),
        (lambda a: hooks.SWA(0, 1, -0.1, 0.0), r"SOLVER\.SWA\.LR_FACTOR\) must be >= 0, got -0\.1"),
        (lambda a: hooks.SWA(0, 1, 0.0, 0.0, True), r"SOLVER\.SWA\.CYCLIC\) is on, but"),
        (lambda a: hooks.SWA(0, 1, 0.0, 0.0, bn_iters=2), r"bn_iters is 2, but there is no bn_loader"),
    ],
)
def test_numbers_out_of_range_name_their_key(make, message):
    with pytest.raises(ValueError, match=message):
        make(WeightAverage(nn.Linear(1, 1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("SOLVER.SWA.START_EPOCH", 4), r"would take no sample: the first is due 3 iterations after iteration 12"),
        (("SOLVER.SWA.START_EPOCH", -2), r"START_EPOCH must be >= 0, or -1, got -2"),
        (("SOLVER.SWA.PERIOD_ITERS", -1), r"PERIOD_ITERS must be >= 0"),
    ],
)
def test_a_run_that_could_not_average_does_not_begin(market, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        DefaultTrainer(tiny_cfg(market, tmp_path, *SWA, *options)).train()


@pytest.fixture(scope="module")
def finished(market, tmp_path_factory):
    """A run with both averages, and one without."""
    folder = tmp_path_factory.mktemp("averaged")
    train(tiny_cfg(market, folder / "plain"))
    trainer, results = train(tiny_cfg(market, folder / "both", *EMA, *SWA))
    return folder, trainer, results


def test_averages_do_not_change_the_run(finished):
    folder, _, results = finished
    plain, both = (checkpoint(folder / name) for name in ("plain", "both"))
    assert differing(plain["model"], both["model"]) == []
    assert plain["metric"] == both["metric"]
    raw = json.loads((folder / "plain" / "results.json").read_text())["Market1501"]
    del raw["details"]
    assert {key: results[key] for key in raw} == pytest.approx(raw)


def test_the_averages_are_evaluated_beside_the_model(finished):
    folder, _, results = finished
    keys = ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    assert list(results) == [*keys, *(f"ema/{key}" for key in keys), *(f"swa/{key}" for key in keys)]
    stored = json.loads((folder / "both" / "results.json").read_text())
    assert list(stored) == ["Market1501"]
    assert list(stored["Market1501"]) == [*results, "details"]
    assert {key: stored["Market1501"][key] for key in results} == pytest.approx(dict(results))
    lines = [json.loads(line) for line in (folder / "both" / "metrics.json").read_text().splitlines()]
    evaluated = [line for line in lines if "ema/mAP" in line]
    assert [line["iteration"] for line in evaluated] == [5, 11]
    assert evaluated[-1]["swa/mAP"] == pytest.approx(results["swa/mAP"])


def test_a_table_shows_each_test_set_with_its_averages(market, tmp_path, caplog):
    caplog.set_level("INFO")
    crops = market / "Market-1501-v15.09.15" / "bounding_box_test"
    rows = "".join(f"{crops}/{name.name},{name.name[:4]}\n" for name in sorted(crops.iterdir()))
    (tmp_path / "own.csv").write_text("path,pid\n" + rows)
    tests = ("Market1501", f"csv:{tmp_path}/own.csv")
    options = ("DATASETS.TESTS", tests, "SOLVER.MAX_EPOCH", 1, "TEST.PROTOCOL", "auto")
    _, results = train(tiny_cfg(market, tmp_path / "out", *options, *EMA))
    assert list(results) == ["Market1501", "own.csv"]
    assert list(results["own.csv"])[5:7] == ["metric", "ema/Rank-1"]
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(own.pop("details") for own in stored.values())
    assert stored == {name: pytest.approx(numbers) for name, numbers in results.items()}
    tables = [text for text in caplog.messages if "| own.csv ema" in text]
    assert len(tables) == 1
    names = [line.split("|")[1].strip() for line in tables[0].splitlines() if "|" in line]
    assert names[0] == "Dataset" and names[2:] == ["Market1501", "Market1501 ema", "own.csv", "own.csv ema"]
    metrics = (tmp_path / "out" / "metrics.json").read_text()
    assert '"own.csv/ema/mAP"' in metrics


@pytest.mark.parametrize("stop_at", [4, 10])
def test_a_resumed_run_ends_with_the_same_averages_bit_for_bit(finished, market, tmp_path, stop_at):
    folder, _, results = finished
    cfg = tiny_cfg(market, tmp_path, *EMA, *SWA)
    train(cfg, stop_at=stop_at)
    trainer, again = train(cfg, resume=True)
    assert trainer.start_iter == stop_at // 3 * 3
    whole, resumed = checkpoint(folder / "both"), checkpoint(tmp_path)
    for name, updates in (("ema", 12), ("swa", 3)):
        assert whole[name]["updates"] == resumed[name]["updates"] == updates
        assert list(whole[name]["average"]) == list(resumed[name]["average"])
        assert differing(whole[name]["average"], resumed[name]["average"]) == []
        assert differing(whole[name]["average"], whole["model"])
    assert again == results


def test_a_checkpoint_without_averages_starts_them_and_one_with_ends_them(market, tmp_path, caplog):
    train(tiny_cfg(market, tmp_path), stop_at=7)
    loaded = checkpoint(tmp_path, "model_0001")["model"]
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path, *EMA))
    trainer.resume_or_load(resume=True)
    assert "model_0001.pth has no ema: that average starts anew, from the loaded weights on" in caplog.text
    seen = []
    look = hooks.CallbackHook(
        before_train=lambda t: seen.append(differing(t.averages["ema"].state_dict()["average"], loaded))
    )
    trainer.register_hooks([look])
    trainer.train()
    assert seen == [[]]
    assert trainer.averages["ema"].updates == 6
    DefaultTrainer(tiny_cfg(market, tmp_path)).resume_or_load(resume=True)
    assert "model_final.pth has ema, which ends here: SOLVER.EMA.ENABLED is False" in caplog.text


def test_the_mean_has_batch_norm_statistics_of_its_own_weights(finished, market, tmp_path):
    """A model with the exported weights, sent over the same batches, has the statistics that were stored."""
    folder, trainer, _ = finished
    model = DefaultTrainer.build_model(trainer.cfg)
    Checkpointer(model).load(str(folder / "both" / "model_final.pth"), weights_key="swa")
    stored = {name: value.clone() for name, value in model.state_dict().items()}
    loader = DefaultTrainer.build_train_loader(tiny_cfg(market, tmp_path))
    update_bn_stats(model.train(), loader, 3)
    raw = checkpoint(folder / "both")["model"]
    for what in ("mean", "var"):  # of the first norm: what the second gets went through a dropout
        name = f"backbone.conv.1.running_{what}"
        torch.testing.assert_close(model.state_dict()[name], stored[name])
        assert not torch.allclose(stored[name], raw[name])


def test_precise_batch_norm_is_for_the_averages_too(finished, market, tmp_path):
    folder, _, _ = finished
    precise = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 3)
    train(tiny_cfg(market, tmp_path, *EMA, *SWA, *precise))
    plain, found = checkpoint(folder / "both"), checkpoint(tmp_path)
    for before, after in ((plain["model"], found["model"]), (plain["ema"]["average"], found["ema"]["average"])):
        assert {name.rpartition(".")[2] for name in differing(before, after)} == {"running_mean", "running_var"}


def evaluate(cfg, file, key):
    model = DefaultTrainer.build_model(cfg)
    Checkpointer(model).load(str(file), weights_key=key)
    return DefaultTrainer.test(cfg, model)


@pytest.mark.parametrize("which", ["ema", "swa"])
def test_an_exported_average_is_a_checkpoint_that_evaluates_as_the_run_said(
    finished, tmp_path, monkeypatch, capsys, which
):
    folder, trainer, results = finished
    source, target = folder / "both" / "model_final.pth", tmp_path / "plain.pth"
    monkeypatch.setattr(sys, "argv", ["export_average.py", str(source), str(target), "--which", which])
    runpy.run_path(str(ROOT / "tools" / "export_average.py"), run_name="__main__")
    assert f"the average {which} of" in capsys.readouterr().out
    cfg = trainer.cfg.clone()
    cfg.OUTPUT_DIR = ""
    expected = {key: results[f"{which}/{key}"] for key in ("Rank-1", "mAP", "mINP")}
    for file, key in ((source, which), (target, "model")):
        found = evaluate(cfg, file, key)
        assert {key: found[key] for key in expected} == expected
    whole, plain = checkpoint(folder / "both"), torch.load(target, weights_only=True)
    assert sorted(plain) == ["epoch", "meta", "model"]
    assert plain["meta"] == {**whole["meta"], "weights": which}
    assert list(plain["model"]) == list(whole["model"])
    images = torch.rand(2, 3, HEIGHT, WIDTH) * 255
    embeddings = []
    for file, key in ((source, which), (target, "model"), (source, "model")):
        cfg.MODEL.WEIGHTS, cfg.MODEL.WEIGHTS_KEY = str(file), key
        embeddings.append(DefaultPredictor(cfg)(images))
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.equal(embeddings[0], embeddings[2])


def test_a_new_run_starts_from_an_average(finished, market, tmp_path):
    source = finished[0] / "both" / "model_final.pth"
    options = ("MODEL.WEIGHTS", str(source), "MODEL.WEIGHTS_KEY", "ema")
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path, *options))
    trainer.resume_or_load(resume=False)
    assert differing(checkpoint(source.parent)["ema"]["average"], trainer.model.state_dict()) == []


def test_an_average_that_is_not_there_is_an_error(finished, tmp_path, monkeypatch):
    folder, trainer, _ = finished
    checkpointer = Checkpointer(DefaultTrainer.build_model(trainer.cfg))
    with pytest.raises(
        RuntimeError, match=r"model_final\.pth' has no average 'emma' \(MODEL.WEIGHTS_KEY\); it has ema, swa"
    ):
        checkpointer.load(str(folder / "both" / "model_final.pth"), weights_key="emma")
    with pytest.raises(RuntimeError, match=r"has no average 'ema' \(MODEL.WEIGHTS_KEY\); it has none"):
        checkpointer.load(str(folder / "plain" / "model_final.pth"), weights_key="ema")
    with pytest.raises(RuntimeError, match=r"the average 'swa' of .*model_0000\.pth' has no sample yet"):
        checkpointer.load(str(folder / "both" / "model_0000.pth"), weights_key="swa")
    missing = tmp_path / "missing.pth"
    monkeypatch.setattr(sys, "argv", ["export_average.py", str(missing), str(tmp_path / "out.pth")])
    with pytest.raises(SystemExit, match=r"no weight file .*missing\.pth"):
        runpy.run_path(str(ROOT / "tools" / "export_average.py"), run_name="__main__")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ("MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True),
        ("MODEL.META_ARCHITECTURE", "MoCo", "MODEL.QUEUE_SIZE", 32),
        ("MODEL.FREEZE_LAYERS", ["backbone"], "SOLVER.FREEZE_ITERS", 6),
        ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat16"),
        ("TEST.FOLD_BN", True),
    ],
    ids=["Distiller", "MoCo", "freezing", "AMP", "folding"],
)
def test_averages_go_with_every_kind_of_run(market, tmp_path, options):
    cfg = tiny_cfg(market, tmp_path, *options, *EMA, *SWA, "SOLVER.MAX_EPOCH", 2)
    trainer, results = train(cfg)
    found = checkpoint(tmp_path)
    weights = dict(trainer.model.named_parameters())
    for name in ("ema", "swa"):
        average = found[name]["average"]
        assert weights.keys() <= average.keys() <= found["model"].keys()
        assert all(value.dtype == torch.float32 for value in average.values())
    frozen = [key for key in weights if key.startswith("backbone") and "FREEZE" in str(options)]
    assert [key for key in frozen if not torch.equal(found["ema"]["average"][key], weights[key])] == []
    assert {"ema/mAP", "swa/mAP"} <= set(results)
    resumed = DefaultTrainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.averages["swa"].updates == 1
    assert evaluate(resumed.cfg, tmp_path / "model_final.pth", "ema")["mAP"] == pytest.approx(results["ema/mAP"])


def _train_on_ranks(cfg, folder):
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    results = trainer.train()
    state = {name: average.state_dict() for name, average in trainer.averages.items()}
    state["model"] = unwrap_model(trainer.model).state_dict()
    torch.save(state, f"{folder}/rank{comm.get_rank()}.pt")
    if comm.is_main_process():
        assert {"ema/mAP", "swa/mAP"} <= set(results)


def test_two_processes_have_the_same_averages(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path / "run", *EMA, *SWA, "SOLVER.MAX_EPOCH", 2)
    launch(_train_on_ranks, 2, args=(cfg, str(tmp_path)), device="cpu")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    stored = checkpoint(tmp_path / "run")
    for name in ("ema", "swa"):
        assert (
            first[name]["updates"] == second[name]["updates"] == stored[name]["updates"] == (6 if name == "ema" else 1)
        )
        assert differing(first[name]["average"], second[name]["average"]) == []
        assert differing(first[name]["average"], stored[name]["average"]) == []
    assert differing(first["model"], second["model"]) == []


@pytest.mark.parametrize(("asked", "taken"), [(3, 3), (200, 8), (0, 0)])
def test_the_mean_takes_its_statistics_from_an_epoch_at_the_most(asked, taken):
    cfg = tiny_cfg("", "", "SOLVER.SWA.ENABLED", True, "SOLVER.SWA.BN_ITERS", asked)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    drawn = []

    def batches():
        for _ in range(20):
            drawn.append(1)
            yield torch.randn(4, 2)

    hook = build_swa(cfg, build_averages(cfg, model), 8, batches)
    hook.average.start()
    hook.trainer = TrainerBase()
    hook.trainer.epoch, hook.trainer.max_epoch = 3, 4
    hook.after_epoch()
    assert len(drawn) == taken


def test_the_best_model_may_be_that_of_an_average_that_begins_later(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, *SWA, "SOLVER.MAX_EPOCH", 3, "TEST.EVAL_PERIOD", 1, "TEST.BEST_METRIC", "swa/mAP")
    results = train(cfg)[1]
    best = checkpoint(tmp_path, "model_best")
    assert best["epoch"] > 0  # no sample was taken in the first epoch
    assert best["hooks"]["BestCheckpointer"] == {"best": best["metric"], "metric": "swa/mAP"}
    assert best["metric"] >= results["swa/mAP"]


@pytest.mark.parametrize("metric", ["ema/mAP", "Market1501/ema/mAP"])
def test_the_metric_of_an_average_that_is_off_is_refused_at_once(market, tmp_path, metric):
    with pytest.raises(ValueError, match=rf"TEST\.BEST_METRIC is '{metric}', but SOLVER\.EMA\.ENABLED is False; set"):
        DefaultTrainer(tiny_cfg(market, tmp_path, *SWA, "TEST.BEST_METRIC", metric))


def test_the_mean_leaves_precise_batch_norm_of_the_model_alone(market, tmp_path):
    precise = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2, "SOLVER.MAX_EPOCH", 2)
    for name, options in {"without": (), "with": (*EMA, *SWA)}.items():  # the network has a dropout
        train(tiny_cfg(market, tmp_path / name, *precise, *options))
    without, with_averages = (checkpoint(tmp_path / name) for name in ("without", "with"))
    assert differing(without["model"], with_averages["model"]) == []
    assert without["metric"] == with_averages["metric"]


def test_an_average_of_no_checkpoint_is_refused(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, "MODEL.WEIGHTS_KEY", "ema")
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS_KEY is 'ema', but MODEL\.WEIGHTS is empty; name"):
        DefaultTrainer(cfg).resume_or_load(resume=False)


@pytest.mark.parametrize(("key", "least"), [("PERIOD", 1), ("ANNEAL_EPOCHS", 0)])
def test_lengths_in_epochs_are_told_as_they_were_given(market, tmp_path, key, least):
    cfg = tiny_cfg(market, tmp_path, *SWA, f"SOLVER.SWA.{key}", -2)
    with pytest.raises(ValueError, match=rf"SOLVER\.SWA\.{key} must be >= {least} epochs, got -2"):
        DefaultTrainer(cfg)
