from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver import build_optimizer
from fastreid.solver.implementation import implementation_arguments, implementation_of


def config(*options):
    cfg = get_cfg()
    cfg.merge_from_list(list(options))
    return cfg


def stepped(*options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 2))
    optimizer, _ = build_optimizer(config("SOLVER.BASE_LR", 0.1, *options), model)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.linspace(-1, 2, 8).view(2, 4)).square().sum().backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), optimizer


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("clip", [False, True])
def test_every_implementation_updates_alike(name, clip):
    options = ("SOLVER.OPT", name, "SOLVER.CLIP_GRADIENTS.ENABLED", clip, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.1)
    expected, automatic = stepped(*options)
    assert (automatic.defaults["fused"], automatic.defaults["foreach"]) == (None, None)
    for kind in ("fused", "foreach", "single"):
        found, optimizer = stepped(*options, "SOLVER.OPT_IMPL", kind)
        torch.testing.assert_close(found, expected)
        assert bool(optimizer.defaults["fused"]) == (kind == "fused")
        assert bool(optimizer.defaults["foreach"]) == (kind == "foreach")


def test_what_runs_is_logged(caplog):
    caplog.set_level("INFO")
    stepped("SOLVER.OPT", "SGD", "SOLVER.OPT_IMPL", "fused")
    assert "Optimizer SGD on cpu: fused" in caplog.text


def test_auto_is_torchs_own_choice_but_for_float16_on_cuda():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    half = ("SOLVER.AMP.ENABLED", True)
    assert implementation_arguments(config(), torch.optim.Adam, cuda) == {}
    assert implementation_arguments(config(*half), torch.optim.Adam, cuda) == {"fused": True}
    assert implementation_arguments(config(*half), torch.optim.Adam, cpu) == {}
    assert implementation_arguments(config(*half), torch.optim.RAdam, cuda) == {}
    assert implementation_arguments(config(*half, "SOLVER.AMP.DTYPE", "bfloat16"), torch.optim.Adam, cuda) == {}
    own = config(*half, "SOLVER.OPT_ARGS.foreach", True)
    assert implementation_arguments(own, torch.optim.Adam, cuda) == {}


def test_words_for_what_runs():
    weights = [nn.Parameter(torch.ones(1))]
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert implementation_of(torch.optim.Adam(weights), cpu) == "single, one parameter after another"
    assert implementation_of(torch.optim.Adam(weights), cuda) == "foreach, as torch chooses on CUDA"
    assert implementation_of(torch.optim.Adam(weights, foreach=False), cuda) == "single, one parameter after another"
    assert implementation_of(torch.optim.Adam(weights, foreach=True), cpu) == "foreach"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("SOLVER.OPT_IMPL", "fast"), r"SOLVER\.OPT_IMPL must be auto, fused, foreach, single, got 'fast'"),
        (
            ("SOLVER.OPT", "RAdam", "SOLVER.OPT_IMPL", "fused"),
            r"OPT_IMPL is 'fused', but SOLVER\.OPT RAdam has foreach; set OPT_IMPL auto",
        ),
        (("SOLVER.OPT", "Lamb", "SOLVER.OPT_IMPL", "foreach"), r"SOLVER\.OPT Lamb has neither fused nor foreach"),
        (
            ("SOLVER.OPT_IMPL", "fused", "SOLVER.OPT_ARGS.amsgrads", True),
            r"with SOLVER\.OPT_IMPL fused \(auto always works\): .*'amsgrads'",
        ),
    ],
)
def test_what_cannot_be_had(options, message):
    with pytest.raises(ValueError, match=message):
        stepped(*options)
