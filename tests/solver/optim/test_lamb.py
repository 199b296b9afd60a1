from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver import build_optimizer
from fastreid.solver.optim import Lamb, RAdam


def lamb_as_loops(weights, gradients, *, lr, betas, eps, weight_decay):
    """Algorithm 2 of the paper for one tensor, number by number; ``gradients`` is one list per step."""
    w = list(weights)
    m, v = [0.0] * len(w), [0.0] * len(w)
    for t, g in enumerate(gradients, start=1):
        update = []
        for i in range(len(w)):
            m[i] = betas[0] * m[i] + (1 - betas[0]) * g[i]
            v[i] = betas[1] * v[i] + (1 - betas[1]) * g[i] ** 2
            ratio = (m[i] / (1 - betas[0] ** t)) / (math.sqrt(v[i] / (1 - betas[1] ** t)) + eps)
            update.append(ratio + weight_decay * w[i])
        w_norm, u_norm = math.sqrt(sum(x * x for x in w)), math.sqrt(sum(x * x for x in update))
        trust = w_norm / u_norm if w_norm > 0 and u_norm > 0 else 1.0
        w = [x - lr * trust * u for x, u in zip(w, update)]
    return w


def steps(optimizer, parameters, gradients):
    for gradient in gradients:
        for parameter, values in zip(parameters, gradient):
            parameter.grad = values.clone()
        optimizer.step()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lamb_equals_its_definition(weight_decay):
    generator = torch.Generator().manual_seed(0)
    options = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": weight_decay}
    shapes = ((2, 3), (4,), (3,))
    parameters = [
        nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator) * size)
        for shape, size in zip(shapes, (1.0, 40.0, 0.0))  # the last is 0, as a bias at the start
    ]
    start = [parameter.detach().clone() for parameter in parameters]
    gradients = [[torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes] for _ in range(5)]
    steps(Lamb(parameters, **options), parameters, gradients)
    for i, (parameter, first) in enumerate(zip(parameters, start)):
        expected = lamb_as_loops(first.flatten().tolist(), [g[i].flatten().tolist() for g in gradients], **options)
        assert parameter.flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_without_trust_ratio_it_is_adamw():
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    gradients = [[torch.randn(5, dtype=torch.float64)] for _ in range(4)]
    steps(Lamb([ours], lr=0.1, weight_decay=0.2, eps=1e-8, adam=True), [ours], gradients)
    steps(torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.2, eps=1e-8), [theirs], gradients)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_a_gradient_of_zeros_moves_nothing():
    parameter = nn.Parameter(torch.ones(3))
    steps(Lamb([parameter]), [parameter], [[torch.zeros(3)]] * 2)
    assert torch.equal(parameter, torch.ones(3))


def test_it_goes_on_from_its_state(tmp_path):
    torch.manual_seed(0)
    gradients = [[torch.randn(5, dtype=torch.float64)] for _ in range(6)]
    whole, halves = (nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    steps(Lamb([whole], lr=0.1), [whole], gradients)
    first = Lamb([halves], lr=0.1)
    steps(first, [halves], gradients[:3])
    torch.save(first.state_dict(), tmp_path / "state.pth")
    second = Lamb([halves], lr=0.5)
    second.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    steps(second, [halves], gradients[3:])
    assert torch.equal(halves, whole)


def test_a_closure_gives_the_loss():
    parameter = nn.Parameter(torch.ones(1))
    optimizer = Lamb([parameter], lr=0.5)

    def closure():
        loss = 3 * parameter.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert parameter.item() == pytest.approx(0.5)  # as long a step as the weight, times lr


def test_it_is_found_by_its_name():
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.OPT", "Lamb", "SOLVER.OPT_ARGS.betas", (0.9, 0.99), "SOLVER.BASE_LR", 0.01])
    optimizer, _ = build_optimizer(cfg, nn.Linear(2, 2))
    assert type(optimizer) is Lamb
    assert all(
        (group["lr"], group["betas"], group["eps"]) == (0.01, (0.9, 0.99), 1e-6) for group in optimizer.param_groups
    )


def test_radam_is_that_of_torch():
    assert RAdam is torch.optim.RAdam


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\), got \(0\.9, 1\.0\)"),
        ({"betas": (0.9,)}, "betas must be two numbers"),
        ({"eps": 0.0}, "eps must be > 0, got 0"),
        ({"weight_decay": -0.1}, r"weight_decay must be >= 0, got -0\.1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Lamb([nn.Parameter(torch.ones(1))], **options)
