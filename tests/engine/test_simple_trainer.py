from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.engine import SimpleTrainer
from fastreid.engine.amp_trainer import AMPTrainer
from fastreid.solver import build_optimizer
from fastreid.utils.events import EventStorage


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
