from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from fastreid.modeling.losses import FEATURE_DISTILLATION_REGISTRY, Overhaul
from fastreid.modeling.losses.overhaul import negative_mean, partial_l2


def test_partial_l2_leaves_out_what_a_shut_relu_hides():
    student, teacher = torch.randn(2, 2, 3, 4, 2, dtype=torch.float64)
    margin = torch.tensor([-0.5, -0.1, -2.0], dtype=torch.float64).view(1, 3, 1, 1)
    total = 0.0
    for n, c, h, w in np.ndindex(student.shape):
        s, t = student[n, c, h, w].item(), max(teacher[n, c, h, w].item(), margin[0, c, 0, 0].item())
        if not s <= t <= 0:
            total += (s - t) ** 2
    assert partial_l2(student, teacher, margin).item() == pytest.approx(total, rel=1e-12)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: partial_l2(s, teacher, margin), (student,))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.7), (-2.0, -0.5), (-1.0, 0.01)])
def test_the_margin_is_the_mean_of_the_negative_numbers(mean, std):
    density = stats.norm(mean, abs(std)).pdf
    lowest = mean - 10 * abs(std) if mean < 0 else -10
    mass = integrate.quad(density, lowest, 0, epsabs=1e-13)[0]
    moment = integrate.quad(lambda x: x * density(x), lowest, 0, epsabs=1e-13)[0]
    found = negative_mean(*(torch.tensor([value], dtype=torch.float64) for value in (mean, std)))
    assert found.item() == pytest.approx(moment / mass, rel=1e-6)


def test_the_margin_of_a_channel_that_is_hardly_ever_negative_or_constant():
    mean, std = torch.tensor([10.0, 2.0, -2.0, 0.0]), torch.tensor([2.0, 0.0, 0.0, 0.0])
    assert negative_mean(mean, std).tolist() == pytest.approx([-6.0, 0.0, -2.0, 0.0], abs=1e-6)


class Stages(nn.Module):
    """A backbone of two stages: a convolution and its norm each."""

    def __init__(self, *widths):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip((3, *widths), widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        for norm in self.norms:
            nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)

    def pre_relu_features(self, x):
        maps = []
        for conv, norm in zip(self.convs, self.norms):
            maps.append(norm(conv(x)))
            x = maps[-1].relu()
        return maps, x

    def pre_relu_norms(self):
        return list(self.norms)


def test_stages_teachers_and_images_have_their_weights():
    student, teachers = Stages(2, 4), [Stages(3, 5), Stages(2, 6)]
    loss = Overhaul(student, teachers).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for net in (student, *teachers):
        net.double().eval()
    loss.eval()  # running statistics in the connectors, so that they can be applied a second time
    own, theirs = loss.features(student, images)[0], [loss.features(teacher, images)[0] for teacher in teachers]
    expected = 0.0
    for i, teacher in enumerate(teachers):
        for j, weight in enumerate((0.5, 1.0)):
            norm = teacher.norms[j]
            margin = negative_mean(norm.bias, norm.weight).view(1, -1, 1, 1)
            connected = getattr(loss, f"connectors_{i}")[j](own[j])
            expected += weight * partial_l2(connected, theirs[i][j], margin).item() / 4 / 2 / 1e4
    found = loss(own, theirs, teachers)
    assert list(found) == ["loss_overhaul"]
    assert found["loss_overhaul"].item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(
        loss.margin1_0.flatten(), negative_mean(teachers[1].norms[0].bias, teachers[1].norms[0].weight)
    )
    found["loss_overhaul"].backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_what_cannot_be_compared_is_an_error():
    assert FEATURE_DISTILLATION_REGISTRY.get("Overhaul") is Overhaul
    with pytest.raises(ValueError, match="teacher 0 has 3 stages, the student 2"):
        Overhaul(Stages(2, 4), [Stages(2, 3, 4)])
    with pytest.raises(TypeError, match="which Linear has not; use build_resnet_backbone"):
        Overhaul(Stages(2, 4), [nn.Linear(1, 1)])
    student, teacher = Stages(2, 4), Stages(3, 5)
    loss = Overhaul(student, [teacher])
    own, theirs = (net.pre_relu_features(torch.randn(2, 3, size, 8))[0] for net, size in ((student, 8), (teacher, 16)))
    with pytest.raises(ValueError, match=r"maps of \(4, 4\), teacher 0 of \(8, 4\); give both the same .*LAST_STRIDE"):
        loss(own, [theirs], [teacher])
