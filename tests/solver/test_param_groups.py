from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.solver.build import get_default_optimizer_params
from fastreid.solver.param_groups import merge_param_groups


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.heads = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.LayerNorm(2))
        self.heads[1].bias.requires_grad_(False)
        self.heads_too = nn.Linear(2, 2)
        self.b1_head = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(1))


RULES = {
    "base_lr": 0.1,
    "weight_decay": 0.01,
    "weight_decay_norm": 0.02,
    "bias_lr_factor": 2.0,
    "heads_lr_factor": 10.0,
    "weight_decay_bias": 0.03,
}
# name: (lr, weight decay), worked out by hand from the rules
EXPECTED = {
    "scale": (0.1, 0.01),
    "backbone.0.weight": (0.1, 0.01),
    "backbone.0.bias": (0.2, 0.03),
    "backbone.1.weight": (0.1, 0.02),
    "backbone.1.bias": (0.2, 0.03),
    "heads.0.weight": (1.0, 0.01),
    "heads.0.bias": (2.0, 0.03),
    "heads.1.weight": (1.0, 0.02),
    "heads.2.weight": (1.0, 0.02),
    "heads.2.bias": (2.0, 0.03),
    "heads_too.weight": (0.1, 0.01),
    "heads_too.bias": (0.2, 0.03),
    "b1_head.weight": (1.0, 0.01),
    "b1_head.bias": (2.0, 0.03),
}


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_each_parameter_gets_its_rate_and_decay(wrap):
    model = Model()
    groups = get_default_optimizer_params(wrap(model), **RULES)
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in groups} == {
        name: pytest.approx(values) for name, values in EXPECTED.items()
    }
    named = dict(model.named_parameters())
    for group in groups:
        assert group["params"][0] is named[group["name"]]
        assert len(group["params"]) == 1
        assert group["freeze_status"] == "normal"


def test_frozen_children_are_tagged():
    groups = get_default_optimizer_params(Model(), **RULES, freeze_layers=["heads"])
    assert {g["name"] for g in groups if g["freeze_status"] == "freeze"} == {
        n for n in EXPECTED if n.startswith("heads.")
    }


def test_a_shared_parameter_is_there_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    names = [group["name"] for group in get_default_optimizer_params(model, 0.1)]
    assert names == ["0.weight", "0.bias", "1.bias"]


def test_what_is_not_given_is_left_to_the_optimizer():
    groups = get_default_optimizer_params(Model())
    assert all(set(group) == {"params", "name", "freeze_status"} for group in groups)
    by_name = {group["name"]: group for group in get_default_optimizer_params(Model(), 0.1, weight_decay_norm=0.5)}
    assert "weight_decay" not in by_name["scale"]
    assert by_name["backbone.1.bias"]["weight_decay"] == 0.5


def test_overrides_are_by_own_name_and_leave_the_callers_dict_alone():
    overrides = {"scale": {"lr": 5.0}, "bias": {"weight_decay": 0.0}}
    before = {name: dict(options) for name, options in overrides.items()}
    groups = {g["name"]: g for g in get_default_optimizer_params(Model(), **RULES, overrides=overrides)}
    assert overrides == before
    assert (groups["scale"]["lr"], groups["scale"]["weight_decay"]) == (5.0, 0.01)
    assert (groups["backbone.0.bias"]["lr"], groups["backbone.0.bias"]["weight_decay"]) == (0.2, 0.0)


@pytest.mark.parametrize("factor", ["bias_lr_factor", "heads_lr_factor"])
def test_a_factor_needs_a_base(factor):
    with pytest.raises(ValueError, match=f"{factor} is 2.0, a factor of base_lr, but base_lr is None"):
        get_default_optimizer_params(Model(), **{factor: 2.0})


def test_merging_keeps_every_parameter_and_its_options():
    groups = get_default_optimizer_params(Model(), **RULES, freeze_layers=["backbone"])
    before = [dict(group) for group in groups]
    merged = merge_param_groups(groups)
    assert groups == before

    def options(found):
        return {
            id(parameter): (group["lr"], group["weight_decay"], group["freeze_status"])
            for group in found
            for parameter in group["params"]
        }

    assert options(merged) == options(groups)
    keys = [(group["lr"], group["weight_decay"], group["freeze_status"]) for group in merged]
    assert len(set(keys)) == len(keys) < len(groups)
    assert "freeze_status=freeze, lr=0.1, weight_decay=0.01" in {group["name"] for group in merged}


def test_merging_nothing():
    assert merge_param_groups([]) == []


def test_parts_tell_whose_rate_is_another():
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2), "heads": nn.Linear(2, 2)})
    options = {"base_lr": 0.1, "bias_lr_factor": 2.0, "heads_lr_factor": 2.0}
    groups = get_default_optimizer_params(model, **options)
    parts = {group["name"]: group.get("part") for group in groups}
    assert parts == {
        "backbone.weight": None, "backbone.bias": "bias", "heads.weight": "heads", "heads.bias": "heads_bias"
    }  # fmt: skip
    merged = merge_param_groups(groups)
    assert [(group["lr"], group.get("part")) for group in merged] == [
        (0.1, None), (0.2, "bias+heads"), (0.4, "heads_bias")
    ]  # fmt: skip
    assert all("part" not in group for group in get_default_optimizer_params(model, base_lr=0.1))


class Layered(nn.Sequential):
    num_layers = 2

    def layer_of(self, name):
        return int(name.split(".")[0])


def test_layers_decay_towards_the_first():
    model = Model()
    model.backbone = Layered(nn.Linear(2, 2), nn.Linear(2, 2), nn.LayerNorm(2))
    groups = get_default_optimizer_params(model, **RULES, layer_decay=0.5)
    rates = {group["name"]: group["lr"] for group in groups}
    expected = {
        "backbone.0.weight": 0.1 * 0.25,
        "backbone.0.bias": 0.2 * 0.25,
        "backbone.1.weight": 0.1 * 0.5,
        "backbone.2.weight": 0.1,  # behind the last layer
        "heads.0.weight": 1.0,
        "scale": 0.1,
    }
    assert {name: rates[name] for name in expected} == pytest.approx(expected)
    parts = {group["name"]: group.get("part") for group in groups}
    assert parts["backbone.0.bias"] == "layer0_bias"
    assert parts["backbone.1.weight"] == "layer1"
    assert len(merge_param_groups(groups)) < len(groups)


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_that_cannot_be(decay):
    with pytest.raises(ValueError, match=r"SOLVER.LAYER_DECAY\) must be in \(0, 1\], got"):
        get_default_optimizer_params(Model(), **RULES, layer_decay=decay)
    with pytest.raises(ValueError, match="Sequential does not tell the order of its layers"):
        get_default_optimizer_params(Model(), **RULES, layer_decay=0.9)
