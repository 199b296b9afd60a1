from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver.build import GradientClipType, maybe_add_gradient_clipping


def clipping(kind, limit, norm=2.0):
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = kind
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = limit
    cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = norm
    return cfg


def parameters(gradients):
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(len(gradient), dtype=torch.float64))
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        made.append(parameter)
    return made


def clipped_as_loops(gradient, kind, limit, norm):
    if kind == "value":
        return [min(max(number, -limit), limit) for number in gradient]
    size = max(map(abs, gradient)) if norm == float("inf") else sum(abs(n) ** norm for n in gradient) ** (1 / norm)
    return [number * min(1.0, limit / size) for number in gradient]


@pytest.mark.parametrize(("kind", "norm"), [("value", 2.0), ("norm", 2.0), ("norm", 1.0), ("norm", float("inf"))])
def test_each_parameter_is_clipped_by_itself(kind, norm):
    gradients = [[3.0, -4.0], [0.1, 0.2, -0.3], [30.0]]
    tensors = parameters(gradients)
    cls = maybe_add_gradient_clipping(clipping(kind, 2.5, norm), torch.optim.SGD)
    unused = nn.Parameter(torch.ones(1))  # without a gradient
    cls([{"params": tensors[:2]}, {"params": [tensors[2], unused]}], lr=1.0).step()
    for parameter, gradient in zip(tensors, gradients):
        expected = [-number for number in clipped_as_loops(gradient, kind, 2.5, norm)]
        assert parameter.tolist() == pytest.approx(expected, rel=1e-5)
    assert unused.item() == 1


@pytest.mark.parametrize(("limit", "norm"), [(2.5, 2.0), (2.5, 1.0), (2.5, float("inf")), (1e3, 2.0)])
def test_all_gradients_together_keep_their_direction(limit, norm):
    gradients = [[3.0, -4.0], [0.1, 0.2, -0.3], [30.0]]
    tensors = parameters(gradients)
    unused = nn.Parameter(torch.ones(1))  # without a gradient
    cls = maybe_add_gradient_clipping(clipping("full_norm", limit, norm), torch.optim.SGD)
    cls([{"params": tensors[:2]}, {"params": [unused, tensors[2]]}], lr=1.0).step()
    expected = clipped_as_loops([number for gradient in gradients for number in gradient], "norm", limit, norm)
    found = [-number for parameter in tensors for number in parameter.tolist()]
    assert found == pytest.approx(expected, rel=1e-5)
    assert unused.item() == 1


def test_a_closure_is_clipped_after_it_has_computed_the_gradients():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = maybe_add_gradient_clipping(clipping("value", 0.5), torch.optim.SGD)([parameter], lr=1.0)

    def closure():
        optimizer.zero_grad()
        loss = 7 * parameter.sum() + 3
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert parameter.item() == -0.5


def test_off_gives_the_class_itself():
    assert maybe_add_gradient_clipping(get_cfg(), torch.optim.Adam) is torch.optim.Adam


def test_the_subclass_is_an_optimizer_with_schedules_and_states():
    cls = maybe_add_gradient_clipping(clipping("norm", 1.0), torch.optim.Adam)
    assert cls.__name__ == "AdamWithGradientClip"
    optimizer = cls(parameters([[1.0]]), lr=1.0)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    plain = torch.optim.Adam(parameters([[1.0]]), lr=1.0)
    plain.load_state_dict(optimizer.state_dict())


def test_types():
    assert {kind.value for kind in GradientClipType} == {"norm", "full_norm", "value"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("norms", 1.0), r"CLIP_GRADIENTS\.CLIP_TYPE must be one of value, norm, full_norm, got 'norms'"),
        (("norm", 0.0), r"CLIP_GRADIENTS\.CLIP_VALUE must be > 0, got 0"),
        (("norm", 1.0, -1.0), r"CLIP_GRADIENTS\.NORM_TYPE must be > 0, got -1"),
    ],
)
def test_bad_options(arguments, message):
    with pytest.raises(ValueError, match=message):
        maybe_add_gradient_clipping(clipping(*arguments), torch.optim.SGD)
