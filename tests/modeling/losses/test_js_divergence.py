from __future__ import annotations

import math

import pytest
import torch

from fastreid.modeling.losses import js_divergence


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


@pytest.mark.parametrize("temperature", [1.0, 16.0])
def test_it_is_the_mean_of_both_directions(temperature):
    student, teacher = torch.randn(2, 5, 7, dtype=torch.float64) * 20
    total = 0.0
    for a, b in zip(student.tolist(), teacher.tolist()):
        s, t = softmax(a, temperature), softmax(b, temperature)
        total += (kl(s, t) + kl(t, s)) / 2
    expected = total * temperature**2 / 5
    assert js_divergence(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-10)
    assert js_divergence(student, teacher).item() == js_divergence(student, teacher, 16.0).item()


def test_the_gradient_is_that_of_differences():
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float64)
    student.requires_grad_(), teacher.requires_grad_()
    assert torch.autograd.gradcheck(js_divergence, (student, teacher))


def test_equal_classifiers_are_not_apart_and_half_precision_does_not_overflow():
    logits = torch.randn(3, 4)
    assert js_divergence(logits, logits + 5).item() == pytest.approx(0, abs=1e-5)
    loss = js_divergence((logits * 1e4).half(), logits.half())
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_other_classes_and_no_temperature_are_errors():
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(3, 5\); train both on the same classes"):
        js_divergence(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        js_divergence(torch.zeros(3, 4), torch.zeros(3, 4), 0)
