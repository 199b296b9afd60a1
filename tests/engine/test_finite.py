"""A loss that is no number stops the run with all that is known, or is left out."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from fastreid.engine import DefaultTrainer, HookBase, SimpleTrainer, defaults, launch
from fastreid.engine.amp_trainer import AMPTrainer
from fastreid.engine.finite import FiniteWatch, StepRecord
from fastreid.layers.moving_average import MovingAverage
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import EventStorage

from .tiny import tiny_cfg


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


class Model(nn.Module):
    """A loss that is linear in the weight, and a batch norm that sees the images."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1)

    def forward(self, batch):
        self.norm(batch["images"])
        mean = (self.weight * batch["images"]).mean()
        return {"loss_a": mean, "loss_b": 0.5 * (self.weight - self.weight.detach()).sum()}


class RootModel(Model):
    """Its gradient is infinite where its loss is 0."""

    def forward(self, batch):
        return {"loss_a": (self.weight * batch["images"]).sum().sqrt()}


def batches(*values):
    return [
        {"images": torch.full((2, 1), float(value)), "img_paths": [f"{number}a.jpg", f"{number}b.jpg"]}
        for number, value in enumerate(values)
    ]


def run(trainer, steps):
    with EventStorage() as storage:
        for trainer.iter in range(steps):
            storage.iter = trainer.iter
            trainer.run_step()
    return storage


def sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_iteration_is_told_when_the_period_is_over(bad):
    model = Model()
    trainer = SimpleTrainer(model, batches(1, 1, bad, 1, bad, 1), sgd(model), check_period=5)
    with pytest.raises(FloatingPointError) as caught:
        run(trainer, 6)
    assert trainer.iter == 4
    message = str(caught.value)
    assert "the loss became infinite or NaN at iteration 2 (" in message
    assert re.search(r"total_loss (nan|inf), loss_a (nan|inf), loss_b 0, grad_norm inf", message)
    assert "Images of that batch: 2a.jpg, 2b.jpg." in message
    assert "Last good checkpoint: none was saved yet" in message
    for key in ("BASE_LR", "WARMUP_ITERS", "CLIP_GRADIENTS", "AMP", "SKIP_NONFINITE"):
        assert f"SOLVER.{key}" in message


def test_an_infinite_gradient_of_a_finite_loss_is_bad_too():
    model = RootModel()
    trainer = SimpleTrainer(model, batches(1, 0, 1), sgd(model), check_period=2)
    with pytest.raises(FloatingPointError, match=r"the gradient became infinite or NaN at iteration 1 .*1a\.jpg"):
        run(trainer, 3)


def test_a_look_finds_nothing_twice_and_nothing_in_good_records():
    watch = FiniteWatch(3)

    def record(iteration, good):
        value = torch.tensor(good)
        return StepRecord(iteration, {"total_loss": torch.tensor(1.0)}, value, value, ())

    assert [watch.add(record(i, i != 1)) for i in range(3)] == [False, False, True]
    assert watch.first_bad().iteration == 1
    assert watch.first_bad() is None
    watch.add(record(3, True))
    assert watch.first_bad() is None
    with pytest.raises(ValueError, match="LOG_PERIOD must be at least 1 iteration, got 0"):
        FiniteWatch(0)


def test_records_are_looked_at_before_they_are_too_many():
    watch = FiniteWatch(10**6)
    good = StepRecord(0, {}, torch.tensor(True), torch.tensor(True), ())
    assert [watch.add(good) for _ in range(1024)].index(True) == 1023


def test_bad_iterations_are_left_out_up_to_the_limit(caplog):
    nan = float("nan")
    model = Model()
    trainer = SimpleTrainer(model, batches(1, nan, 2, nan, 3), sgd(model), skip_nonfinite=2)
    with caplog.at_level("WARNING"):
        storage = run(trainer, 5)
    # The derivative is x + 0.5.
    assert model.weight.item() == pytest.approx(1 - 0.1 * (1.5 + 2.5 + 3.5))
    assert model.norm.running_mean.isfinite().all()
    assert model.norm.num_batches_tracked == 3
    assert storage.latest()["skipped_steps"] == (2, 4)
    assert [i for _, i in storage.history("total_loss").values()] == [0, 2, 4]
    assert "Left out, 1 of at most 2 (SOLVER.SKIP_NONFINITE): the loss became infinite or NaN at iteration 1" in (
        caplog.text
    )
    assert "1a.jpg, 1b.jpg" in caplog.text


def test_one_bad_iteration_too_many_is_the_error():
    model = Model()
    trainer = SimpleTrainer(model, batches(1, float("nan"), 2, float("nan")), sgd(model), skip_nonfinite=1)
    with pytest.raises(FloatingPointError, match=r"at iteration 3 .*1 iterations were left out before it"):
        run(trainer, 4)
    assert model.weight.isfinite().all()


@pytest.mark.parametrize("values", [(1, float("nan"), 1), (float("nan"), 1, 1)])
def test_what_a_model_stores_beside_its_weights_is_put_back_too(values):
    class Teaching(Model):
        def __init__(self):
            super().__init__()
            self.__dict__["average"] = MovingAverage(Model(), 0.5)

        def checkpointables(self):
            return {"average": self.average}

        def forward(self, batch):
            losses = super().forward(batch)
            self.average.update(self)
            return losses

    model = Teaching()
    run(SimpleTrainer(model, batches(*values), sgd(model), skip_nonfinite=1), 3)
    assert model.average.state_dict()
    assert all(value.isfinite().all() for value in model.average.state_dict().values())


def test_a_gradient_scaler_leaves_out_its_own_steps_and_is_not_disturbed_by_a_bad_loss():
    model = Model()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)  # the first gradients overflow, the losses do not
    trainer = AMPTrainer(model, batches(8, float("nan"), 0), sgd(model), grad_scaler=scaler, skip_nonfinite=1)
    with EventStorage() as storage:
        trainer.run_step()
        assert (model.weight.item(), trainer.skipped_steps) == (1.0, 0)
        assert scaler.get_scale() == 2.0**126
        trainer.iter = storage.iter = 1
        trainer.run_step()
        assert trainer.skipped_steps == 1
        assert scaler.get_scale() == 2.0**126
        trainer.iter = storage.iter = 2
        trainer.run_step()
        assert model.weight.item() == pytest.approx(0.95)
    assert storage.history("grad_norm").values()[0][0] == float("inf")


@pytest.mark.parametrize(("option", "value"), [("accum_steps", 0), ("skip_nonfinite", -1)])
def test_numbers_out_of_range(option, value):
    model = Model()
    with pytest.raises(ValueError, match=rf"SOLVER\.{option.upper()} must be .*, got {value}"):
        SimpleTrainer(model, batches(1), sgd(model), **{option: value})


class Poison(HookBase):
    """Makes the loss of chosen iterations NaN, and writes down the images of these."""

    def __init__(self, *iterations):
        self.iterations, self.paths = iterations, {}

    def before_train(self):
        inner, forward = self.trainer._trainer, self.trainer._trainer.forward

        def poisoned(batch):
            losses = forward(batch)
            if inner.iter in self.iterations:
                self.paths[inner.iter] = batch["img_paths"]
                losses = {name: value * float("nan") for name, value in losses.items()}
            return losses

        inner.forward = poisoned


def trainer_with(cfg, *hooks, resume=False):
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.register_hooks(hooks)
    return trainer


def test_a_run_stops_with_the_last_checkpoint_and_saves_no_other(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, "LOG_PERIOD", 100, "TEST.EVAL_PERIOD", 0)
    poison = Poison(7)
    with pytest.raises(FloatingPointError) as caught:
        trainer_with(cfg, poison).train()
    message = str(caught.value)
    assert "at iteration 7" in message
    assert all(path in message for path in poison.paths[7])
    assert f"Last good checkpoint: {tmp_path / 'model_0001.pth'} (iteration 5)" in message
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["model_0000.pth", "model_0001.pth"]


def test_a_new_run_does_not_take_the_checkpoint_of_another_for_its_own(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, "SOLVER.MAX_EPOCH", 1)
    trainer_with(cfg).train()
    with pytest.raises(FloatingPointError, match="Last good checkpoint: none was saved yet"):
        trainer_with(cfg, Poison(0)).train()
    cfg.merge_from_list(["SOLVER.MAX_EPOCH", 2])
    with pytest.raises(FloatingPointError, match=r"model_final\.pth \(iteration 2\)"):
        trainer_with(cfg, Poison(4), resume=True).train()


def test_a_checkpoint_in_the_middle_of_a_period_is_refused(market, tmp_path):
    class SaveAt4(HookBase):
        def after_step(self):
            if self.trainer.iter == 4:
                self.trainer.checkpointer.save("early", **self.trainer.checkpoint_state())

    cfg = tiny_cfg(market, tmp_path, "LOG_PERIOD", 100)
    with pytest.raises(FloatingPointError, match="at iteration 3"):
        trainer_with(cfg, Poison(3), SaveAt4()).train()
    assert not (tmp_path / "early.pth").exists()


def test_an_evaluation_in_the_middle_of_a_period_does_not_hide_where_it_began(market, tmp_path):
    options = ("LOG_PERIOD", 100, "TEST.EVAL_PERIOD_ITERS", 5, "SOLVER.EMA.ENABLED", True)
    with pytest.raises(FloatingPointError, match="at iteration 3"):
        trainer_with(tiny_cfg(market, tmp_path, *options, "SOLVER.MAX_EPOCH", 2), Poison(3)).train()


def test_weights_that_are_not_finite_are_not_saved(market, tmp_path):
    trainer = trainer_with(tiny_cfg(market, tmp_path))
    trainer.model.backbone.conv[0].weight.data[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"weights that are infinite or NaN \(backbone\.conv\.0\.weight\)"):
        trainer.checkpoint_state()


def test_a_resumed_run_keeps_the_count_of_what_was_left_out(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, "SOLVER.SKIP_NONFINITE", 2, "SOLVER.MAX_EPOCH", 2, "TEST.EVAL_PERIOD", 0)
    trainer_with(cfg, Poison(1, 2)).train()
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert saved["skipped_steps"] == 2
    assert all(value.isfinite().all() for value in saved["model"].values())
    cfg.merge_from_list(["SOLVER.MAX_EPOCH", 3])
    trainer = trainer_with(cfg, Poison(7), resume=True)
    assert trainer.skipped_steps == 2
    with pytest.raises(FloatingPointError, match=r"at iteration 7 .*2 iterations were left out before it"):
        trainer.train()


def poisoned_rank(cfg, folder):
    from fastreid.utils import comm

    poison = Poison(*((3, 4) if comm.get_rank() == 1 else ()))
    trainer = trainer_with(cfg, poison)
    own, next_batch = [], trainer._trainer.next_batch

    def watch():
        batch, seconds = next_batch()
        own.append(batch["img_paths"])
        return batch, seconds

    trainer._trainer.next_batch = watch
    message = ""
    try:
        trainer.train()
    except FloatingPointError as error:
        message = str(error)
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    torch.save({"message": message, "own": own, "weights": weights}, f"{folder}/{comm.get_rank()}.pt")


@pytest.mark.slow
def test_all_ranks_leave_out_and_stop_together_with_the_images_of_the_one_at_fault(market, tmp_path):
    options = ("SOLVER.SKIP_NONFINITE", 1, "SOLVER.MAX_EPOCH", 2, "TEST.EVAL_PERIOD", 0)
    cfg = tiny_cfg(market, tmp_path / "run", *options)
    launch(poisoned_rank, 2, args=(cfg, str(tmp_path)), device="cpu")
    zero, one = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert zero["message"] == one["message"]
    assert "at iteration 4" in zero["message"]  # that of iteration 3 was left out
    assert all(path in zero["message"] for path in one["own"][4])
    assert not any(path in zero["message"] for path in zero["own"][4])
    assert torch.equal(zero["weights"], one["weights"])
    assert zero["weights"].isfinite().all()
