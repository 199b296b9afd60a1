from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.engine import HookBase, SimpleTrainer, TrainerBase
from fastreid.engine.train_loop import AMPTrainer
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage


class Diary(HookBase):
    def __init__(self, pages, name=""):
        self.pages, self.name = pages, name

    def write(self, moment):
        self.pages.append(f"{self.name}{moment} {self.trainer.epoch}.{self.trainer.iter}")

    def before_train(self):
        self.write("before_train")

    def after_train(self):
        self.write("after_train")

    def before_epoch(self):
        self.write("before_epoch")

    def after_epoch(self):
        self.write("after_epoch")

    def before_step(self):
        self.write("before_step")

    def after_step(self):
        self.write("after_step")


class Counter(TrainerBase):
    fail_at = -1

    def run_step(self):
        if self.iter == self.fail_at:
            raise ValueError("boom")


def test_the_moments_come_in_their_order():
    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages), None])
    trainer.train(0, 2, 2)
    assert pages == [
        "before_train 0.0",
        "before_epoch 0.0", "before_step 0.0", "after_step 0.0", "before_step 0.1", "after_step 0.1", "after_epoch 0.1",
        "before_epoch 1.1", "before_step 1.2", "after_step 1.2", "before_step 1.3", "after_step 1.3", "after_epoch 1.3",
        "after_train 1.3",
    ]  # fmt: skip


def test_a_run_can_start_inside_an_epoch():
    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages)])
    trainer.train(1, 2, 3, start_iter=4)
    assert [page for page in pages if "step" in page] == [
        "before_step 1.4", "after_step 1.4", "before_step 1.5", "after_step 1.5"
    ]  # fmt: skip
    assert pages[-2:] == ["after_epoch 1.5", "after_train 1.5"]


def test_after_an_error_the_hooks_close_down_and_the_error_comes_out():
    class Breaks(HookBase):
        def after_train(self):
            raise RuntimeError("closing failed")

    trainer, pages = Counter(), []
    trainer.fail_at = 1
    trainer.register_hooks([Breaks(), Diary(pages)])
    with pytest.raises(ValueError, match="boom"):
        trainer.train(0, 1, 5)
    assert pages[-1] == "after_train 0.1"


def test_a_failing_hook_at_the_end_is_not_hidden():
    class Breaks(HookBase):
        def after_train(self):
            raise RuntimeError("closing failed")

    trainer, pages = Counter(), []
    trainer.register_hooks([Breaks(), Diary(pages)])
    with pytest.raises(RuntimeError, match="closing failed"):
        trainer.train(0, 1, 1)
    assert pages[-1].startswith("after_train")


def test_an_interrupt_closes_down_too():
    class Interrupts(HookBase):
        def before_step(self):
            raise KeyboardInterrupt

    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages), Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(0, 1, 1)
    assert pages[-1].startswith("after_train")


def test_what_is_no_hook_and_no_epoch_is_refused():
    with pytest.raises(TypeError, match="must be a HookBase, got str"):
        Counter().register_hooks(["x"])
    with pytest.raises(ValueError, match="iters_per_epoch must be at least 1, got 0"):
        Counter().train(0, 1, 0)


class Model(nn.Module):
    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.losses = losses

    def forward(self, batch):
        return {name: factor * (self.weight * batch["images"]).mean() for name, factor in self.losses.items()}


def run(trainer, steps):
    with EventStorage() as storage:
        for trainer.iter in range(steps):
            storage.iter = trainer.iter
            trainer.run_step()
    return storage


def batches(*values):
    return [{"images": torch.full((2, 1), float(value)), "img_paths": ["a", "b"]} for value in values]


def test_a_step_follows_the_sum_of_the_losses():
    model = Model({"loss_a": 1.0, "loss_b": 2.0})
    trainer = SimpleTrainer(model, batches(1, 2), torch.optim.SGD(model.parameters(), lr=0.1))
    storage = run(trainer, 2)
    # d/dw of 3 w x is 3 x: 1 - 0.1 * 3 * 1 - 0.1 * 3 * 2
    assert model.weight.item() == pytest.approx(0.1)
    latest = storage.latest()
    assert latest["total_loss"] == (pytest.approx(0.7 * 6), 1)
    assert latest["loss_b"] == (pytest.approx(0.7 * 4), 1)
    assert latest["data_time"][0] >= 0


def test_a_model_without_losses_is_an_error():
    model = Model({})
    trainer = SimpleTrainer(model, batches(1), torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"no losses; name at least one in MODEL\.LOSSES\.NAME"):
        run(trainer, 1)


def test_a_model_left_in_eval_mode_is_an_error():
    model = Model({"loss_a": 1.0})
    trainer = SimpleTrainer(model, batches(1), torch.optim.SGD(model.parameters(), lr=0.1))
    model.eval()
    with pytest.raises(RuntimeError, match="eval mode during training"):
        run(trainer, 1)


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_are_clipped_after_they_are_unscaled(fused):
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.OPT", "SGD", "SOLVER.BASE_LR", 1.0, "SOLVER.OPT_ARGS.fused", fused])
    cfg.merge_from_list(["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 1.0])
    model = Model({"loss_a": 0.25})
    optimizer, _ = build_optimizer(cfg, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    run(AMPTrainer(model, batches(1), optimizer, grad_scaler=scaler), 1)
    # The gradient, 0.25, is below the limit; 4096 times as much is not.
    assert model.weight.item() == pytest.approx(0.75, abs=1e-3)


def test_mixed_precision_computes_in_bfloat16_on_a_cpu():
    seen = []

    class Watch(Model):
        def forward(self, batch):
            seen.append(torch.mm(self.weight[None], self.weight[None]).dtype)
            return super().forward(batch)

    model = Watch({"loss_a": 1.0})
    trainer = AMPTrainer(model, batches(1), torch.optim.SGD(model.parameters(), lr=0.1))
    run(trainer, 1)
    assert seen == [torch.bfloat16]
    assert not trainer.grad_scaler.is_enabled()
    assert model.weight.item() == pytest.approx(0.9)
