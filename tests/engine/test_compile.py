from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fastreid.engine import DefaultTrainer, defaults
from fastreid.engine.compile import compile_parts, uncompiled
from fastreid.utils.env import seed_all_rng

from .tiny import tiny_cfg


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.heads = nn.Linear(4, 2)
        self.criteria = nn.ModuleDict({"learned": nn.Linear(2, 1)})
        self.pool = nn.Identity()

    def forward(self, x):
        return self.heads(self.pool(self.backbone(x)))


@pytest.fixture
def compiled_with():
    """A backend that counts what it is given, and runs it as it is."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    try:
        torch.compile(torch.relu, backend="eager")(torch.ones(1))
    except RuntimeError as error:  # an old torch on a new Python
        pytest.skip(f"torch.compile does not work here: {error}")
    yield backend, graphs
    torch.compiler.reset()


def test_parts_are_compiled_in_place(compiled_with):
    backend, graphs = compiled_with
    model, x = Model(), torch.randn(3, 4)
    names, expected = list(model.state_dict()), model(x)
    assert compile_parts(model, backend=backend) == ["backbone", "heads"]
    graphs.clear()  # that of the trial
    torch.testing.assert_close(model(x), expected)
    assert len(graphs) == 2
    assert list(model.state_dict()) == names
    with uncompiled(model):
        torch.testing.assert_close(model.eval()(torch.randn(5, 4)).shape, torch.Size([5, 2]))
    copy.deepcopy(model)(torch.randn(7, 4))
    assert len(graphs) == 2
    model.train()(torch.randn(3, 4))
    assert len(graphs) == 2


def test_a_machine_that_cannot_compile_is_an_error():
    def backend(graph, inputs):
        raise OSError("no compiler found")

    torch.compiler.reset()
    with pytest.raises(RuntimeError, match=r"MODEL\.COMPILE is True, but .* for cpu \(.*\); install .*COMPILE False"):
        compile_parts(Model(), backend=backend)


def test_a_run_trains_compiled_and_evaluates_plain(market, tmp_path, monkeypatch, compiled_with):
    backend, graphs = compiled_with
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)
    monkeypatch.setattr(defaults, "compile_parts", lambda model: compile_parts(model, backend=backend))
    weights = []
    for compiled in (False, True):
        cfg = tiny_cfg(market, tmp_path / str(compiled), "SOLVER.MAX_EPOCH", 2, "MODEL.COMPILE", compiled)
        cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 1])
        seed_all_rng(cfg.SEED)
        trainer = DefaultTrainer(cfg)
        assert trainer.train()["mAP"] > 0
        weights.append(torch.load(tmp_path / str(compiled) / "model_final.pth", weights_only=True)["model"])
    plain, other = weights
    assert plain.keys() == other.keys()
    for key, value in plain.items():
        torch.testing.assert_close(other[key], value, msg=key)
    assert len(graphs) == 3  # the trial, backbone and heads, in training mode


@pytest.mark.slow
def test_the_real_compiler_learns_the_same():
    torch.compiler.reset()
    torch.manual_seed(0)
    plain = Model()
    fast = copy.deepcopy(plain)
    try:
        compile_parts(fast)
    except RuntimeError as error:
        pytest.skip(f"no compiler here: {error}")
    x = torch.randn(3, 4)
    for model in (plain, fast):
        model(x).square().sum().backward()
    for one, other in zip(plain.backbone.parameters(), fast.backbone.parameters()):
        torch.testing.assert_close(one.grad, other.grad)
    torch.compiler.reset()
