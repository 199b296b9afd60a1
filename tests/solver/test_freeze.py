from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver.build import maybe_add_freeze_layer
from fastreid.solver.freeze import frozen_parameter_names


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.b1 = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.b1_head = nn.Linear(2, 2)
        self.b2 = nn.Linear(2, 2, bias=False)


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_patterns_name_whole_children(wrap):
    model = wrap(Branches())
    b1 = {"b1.0.weight", "b1.0.bias", "b1.1.weight", "b1.1.bias"}
    assert frozen_parameter_names(model, ["b1"]) == b1
    assert frozen_parameter_names(model, ["b1", "b2"]) == b1 | {"b2.weight"}
    assert frozen_parameter_names(model, ["b1.*"]) == b1 | {"b1_head.weight", "b1_head.bias"}
    assert frozen_parameter_names(model, []) == set()


@pytest.mark.parametrize("pattern", ["b", "b1.0", "backbone", "B1", "b1_hea"])
def test_a_pattern_without_a_child_is_an_error(pattern):
    with pytest.raises(ValueError, match=rf"MODEL\.FREEZE_LAYERS has '{pattern}'.*There are: b1, b1_head, b2"):
        frozen_parameter_names(Branches(), ["b2", pattern])


def test_the_error_names_the_nearest_child():
    with pytest.raises(ValueError, match=r"Did you mean 'b1_head'\?"):
        frozen_parameter_names(Branches(), ["b1_hea"])


def test_a_pattern_that_is_no_regular_expression_is_an_error():
    with pytest.raises(ValueError, match=r"MODEL\.FREEZE_LAYERS has '\*b', not a regular expression"):
        frozen_parameter_names(Branches(), ["*b"])


def freezing(steps, layers=("a",)):
    cfg = get_cfg()
    cfg.MODEL.FREEZE_LAYERS = list(layers)
    cfg.SOLVER.FREEZE_ITERS = steps
    return cfg


def optimizer_of(cfg):
    frozen, free = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups = [{"params": [frozen], "freeze_status": "freeze"}, {"params": [free], "freeze_status": "normal"}]
    return maybe_add_freeze_layer(cfg, torch.optim.SGD)(groups, lr=0.1, weight_decay=0.1), frozen, free


def step(optimizer):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def test_nothing_to_freeze_gives_the_class_itself():
    assert maybe_add_freeze_layer(freezing(0), torch.optim.SGD) is torch.optim.SGD
    assert maybe_add_freeze_layer(freezing(3, ()), torch.optim.SGD) is torch.optim.SGD
    assert issubclass(maybe_add_freeze_layer(freezing(3), torch.optim.SGD), torch.optim.SGD)


def test_frozen_groups_stand_still_for_the_first_steps():
    optimizer, frozen, free = optimizer_of(freezing(3))
    for iteration in range(5):
        before = frozen.clone(), free.clone()
        step(optimizer)
        assert torch.equal(frozen, before[0]) == (iteration < 3)  # no weight decay either
        assert not torch.equal(free, before[1])


def test_the_steps_go_on_after_a_resume(tmp_path):
    optimizer, *_ = optimizer_of(freezing(3))
    step(optimizer)
    step(optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "state.pth")
    resumed, frozen, _ = optimizer_of(freezing(3))
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    moved = []
    for _ in range(3):
        before = frozen.clone()
        step(resumed)
        moved.append(not torch.equal(frozen, before))
    assert moved == [False, True, True]
