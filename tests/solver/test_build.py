from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver import OPTIMIZER_REGISTRY, build_optimizer


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
        self.heads = nn.Linear(4, 2)


def solver(**options):
    cfg = get_cfg()
    for key, value in options.items():
        cfg.SOLVER[key] = value
    return cfg


def options_of(optimizer, model):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: group for group in optimizer.param_groups for parameter in group["params"]}


def train_once(model, optimizer):
    optimizer.zero_grad()
    model.heads(model.backbone(torch.rand(2, 3, 2, 2)).mean((2, 3))).square().sum().backward()
    optimizer.step()


def test_adam_by_default_and_nothing_to_unwrap():
    model = Model()
    optimizer, wrapper = build_optimizer(get_cfg(), model)
    assert wrapper is None
    assert type(optimizer) is torch.optim.Adam
    assert len(optimizer.param_groups) == 1  # all options are equal
    assert len(options_of(optimizer, model)) == 8


def test_groups_carry_the_rules_of_the_config():
    cfg = solver(BASE_LR=0.1, BIAS_LR_FACTOR=2.0, HEADS_LR_FACTOR=10.0, WEIGHT_DECAY=0.01)
    cfg.SOLVER.WEIGHT_DECAY_NORM, cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.02, 0.03
    cfg.MODEL.FREEZE_LAYERS, cfg.SOLVER.FREEZE_ITERS = ["heads"], 5
    model = Model()
    found = options_of(build_optimizer(cfg, model)[0], model)
    values = {name: (group["lr"], group["weight_decay"], group["freeze_status"]) for name, group in found.items()}
    assert values == {
        "backbone.0.weight": (0.1, 0.01, "normal"),
        "backbone.0.bias": (0.2, 0.03, "normal"),
        "backbone.1.weight": (0.1, 0.02, "normal"),
        "backbone.1.bias": (0.2, 0.03, "normal"),
        "backbone.2.weight": (0.1, 0.01, "normal"),
        "backbone.2.bias": (0.2, 0.03, "normal"),
        "heads.weight": (1.0, 0.01, "freeze"),
        "heads.bias": (2.0, 0.03, "freeze"),
    }


def test_freeze_layers_need_freeze_iters():
    cfg = get_cfg()
    cfg.MODEL.FREEZE_LAYERS = ["heads"]
    model = Model()
    assert {group["freeze_status"] for group in options_of(build_optimizer(cfg, model)[0], model).values()} == {
        "normal"
    }


def test_sgd_takes_momentum_and_nesterov():
    optimizer, _ = build_optimizer(solver(OPT="SGD", MOMENTUM=0.7, NESTEROV=True), Model())
    assert type(optimizer) is torch.optim.SGD
    assert all((group["momentum"], group["nesterov"]) == (0.7, True) for group in optimizer.param_groups)


@pytest.mark.parametrize("contiguous", [True, False])
def test_contiguous_changes_nothing(contiguous):
    model = Model()
    pointers = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    optimizer, _ = build_optimizer(solver(OPT="SGD"), model, contiguous=contiguous)
    train_once(model, optimizer)
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == pointers


@pytest.mark.parametrize("name", sorted(OPTIMIZER_REGISTRY))
def test_every_optimizer_trains_every_parameter(name):
    """Also after gradients are set to None, which once made training do nothing."""
    model = Model()
    optimizer, _ = build_optimizer(solver(OPT=name, BASE_LR=0.1), model)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for _ in range(3):
        train_once(model, optimizer)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, found in sorted(vars(torch.optim).items())
        if isinstance(found, type) and issubclass(found, torch.optim.Optimizer) and name != "Optimizer"
    ],
)
def test_every_optimizer_of_torch_is_there_or_says_why_not(name):
    if name not in OPTIMIZER_REGISTRY:
        with pytest.raises(ValueError, match=rf"SOLVER\.OPT is '{name}', which .*; take AdamW or SGD"):
            build_optimizer(solver(OPT=name), Model())
    else:
        assert type(build_optimizer(solver(OPT=name), Model())[0]) is getattr(torch.optim, name)


def test_more_arguments_come_from_opt_args():
    cfg = solver(OPT="AdamW")
    cfg.merge_from_list(["SOLVER.OPT_ARGS.betas", "(0.8, 0.95)", "SOLVER.OPT_ARGS", {"amsgrad": True, "eps": "1e-7"}])
    optimizer, _ = build_optimizer(cfg, Model())
    for group in optimizer.param_groups:
        assert (group["betas"], group["amsgrad"], group["eps"]) == ((0.8, 0.95), True, 1e-7)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Adam", {"beta": 0.9}, r"SOLVER\.OPT_ARGS has 'beta' \(0\.9\), but Adam has no .* Did you mean 'betas'\?"),
        ("Adam", {"lr": 0.1}, r"SOLVER\.OPT_ARGS has 'lr' \(0\.1\), but the library gives it itself"),
        ("Adam", {"weight_decay": 0.1}, r"'weight_decay' \(0\.1\), but the library gives it itself"),
        ("Adam", {"params": []}, r"'params' \(\[\]\), but the library gives it itself"),
        ("SGD", {"momentum": 0.1}, r"'momentum' \(0\.1\), but the library gives it itself"),
        ("Adam", {"betas": (2.0, 0.9)}, r"Adam refuses SOLVER\.OPT_ARGS \{'betas': \(2\.0, 0\.9\)\}: Invalid beta"),
        ("Adam", {"betas": [0.9]}, r"Adam refuses SOLVER\.OPT_ARGS \{'betas': \[0\.9\]\}: list index out of range"),
        ("Adam", {"fused": True, "foreach": True}, r"Adam refuses SOLVER\.OPT_ARGS .*`fused` and `foreach`"),
        ("Lamb", {"eps": 0.0}, r"Lamb refuses SOLVER\.OPT_ARGS \{'eps': 0\.0\}: eps must be > 0, got 0"),
    ],
)
def test_a_wrong_argument_is_named(name, arguments, message):
    cfg = solver(OPT=name)
    cfg.merge_from_list(["SOLVER.OPT_ARGS", arguments])
    with pytest.raises(ValueError, match=message):
        build_optimizer(cfg, Model())


def test_equal_groups_update_like_one_group_per_parameter():
    cfg = solver(OPT="SGD", BASE_LR=0.1, BIAS_LR_FACTOR=2.0, WEIGHT_DECAY_BIAS=0.0)
    torch.manual_seed(0)
    ours, theirs = Model(), Model()
    theirs.load_state_dict(ours.state_dict())
    optimizer, _ = build_optimizer(cfg, ours)
    groups = [
        {
            "params": [p],
            "lr": 0.2 if name.endswith("bias") else 0.1,
            "weight_decay": 0.0 if name.endswith("bias") else 5e-4,
        }
        for name, p in theirs.named_parameters()
    ]
    reference = torch.optim.SGD(groups, momentum=0.9, lr=0.1)
    for _ in range(3):
        images = torch.rand(2, 3, 2, 2)
        for model, step in ((ours, optimizer), (theirs, reference)):
            step.zero_grad()
            model.heads(model.backbone(images).mean((2, 3))).square().sum().backward()
            step.step()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)


def test_clipping_is_added_when_asked_for():
    cfg = solver(OPT="SGD", MOMENTUM=0.0, BASE_LR=1.0, WEIGHT_DECAY=0.0, WEIGHT_DECAY_BIAS=0.0, WEIGHT_DECAY_NORM=0.0)
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 0.01
    model = Model()
    before = [parameter.clone() for parameter in model.parameters()]
    train_once(model, build_optimizer(cfg, model)[0])
    moves = [(parameter - old).norm().item() for parameter, old in zip(model.parameters(), before)]
    assert max(moves) == pytest.approx(0.01, rel=1e-3)


def test_a_state_can_be_loaded_with_weights_only(tmp_path):
    model = Model()
    optimizer, _ = build_optimizer(solver(BIAS_LR_FACTOR=2.0), model)
    train_once(model, optimizer)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pth")
    other, _ = build_optimizer(solver(BIAS_LR_FACTOR=2.0), model)
    other.load_state_dict(torch.load(tmp_path / "optimizer.pth", weights_only=True))
    assert [group["name"] for group in other.param_groups] == [group["name"] for group in optimizer.param_groups]
    for key, value in other.state_dict()["state"][0].items():
        torch.testing.assert_close(value, optimizer.state_dict()["state"][0][key])


def test_an_optimizer_without_weight_decay_is_said(caplog):
    build_optimizer(solver(OPT="Rprop"), Model())
    assert "SOLVER.OPT Rprop knows no weight decay" in caplog.text


def test_an_unknown_optimizer_names_the_nearest():
    with pytest.raises(KeyError, match=r"SOLVER\.OPT: no 'adam'.*Registered: .*Adam, AdamW"):
        build_optimizer(solver(OPT="adam"), Model())
    with pytest.raises(KeyError, match=r"SOLVER\.OPT: no 'AdmaW'\. Did you mean 'AdamW'"):
        build_optimizer(solver(OPT="AdmaW"), Model())


def test_a_model_without_anything_to_train_is_an_error():
    with pytest.raises(ValueError, match="Linear has no parameter that needs a gradient"):
        build_optimizer(get_cfg(), nn.Linear(2, 2).requires_grad_(False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"BASE_LR": 0.0}, r"SOLVER\.BASE_LR must be > 0, got 0"),
        ({"BASE_LR": float("nan")}, r"SOLVER\.BASE_LR must be > 0, got nan"),
        ({"WEIGHT_DECAY": -0.1}, r"SOLVER\.WEIGHT_DECAY must be >= 0, got -0\.1"),
        ({"HEADS_LR_FACTOR": -1.0}, r"SOLVER\.HEADS_LR_FACTOR must be >= 0, got -1"),
        ({"FREEZE_ITERS": -1}, r"SOLVER\.FREEZE_ITERS must be >= 0, got -1"),
        ({"OPT": "SGD", "MOMENTUM": 0.0, "NESTEROV": True}, r"SOLVER\.NESTEROV needs SOLVER\.MOMENTUM > 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(solver(**options), Model())
