from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...layers.precision import at_least_float32
from .feature_distillation import FEATURE_DISTILLATION_REGISTRY

__all__ = ["Overhaul", "negative_mean", "partial_l2"]

_WEIGHT = 1e-4
_RARELY = 1e-3  # below this share of negative numbers, their mean is said to be at -3 standard deviations


def partial_l2(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Add up squared differences, but for those where the teacher's ReLU is shut and the student is lower still.

    ``sum (s - max(t, m))^2``, over all places but those with ``s <= max(t, m) <= 0``.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv:1904.01866.

    Args:
        student: ``(N, C, h, w)`` float, before the ReLU.
        teacher: ``(N, C, h, w)`` float, before the ReLU; without gradient.
        margin: ``(1, C, 1, 1)`` float, at most 0: the lowest value that is asked for.

    Returns:
        Scalar, float32 or wider.
    """
    student = at_least_float32(student)
    wanted = torch.maximum(teacher.detach().to(student.dtype), margin.to(student.dtype))
    counts = (student > wanted) | (wanted > 0)
    return ((student - wanted).square() * counts).sum()


def negative_mean(mean: Tensor, std: Tensor) -> Tensor:
    """Return ``E[x | x < 0]`` of normal numbers: where a batch norm's channel is when its ReLU is shut.

    Source: Heo et al., arXiv:1904.01866, equation 4. Where less than a thousandth of the numbers are negative it is -3
    standard deviations.

    Args:
        mean: ``(C,)`` float.
        std: ``(C,)`` float; the sign is not used.

    Returns:
        ``(C,)``, at most 0.
    """
    std = std.abs().clamp(min=torch.finfo(std.dtype).tiny)
    ratio = mean / std
    share = torch.special.ndtr(-ratio)  # of negative numbers
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    return torch.where(share > _RARELY, mean - std * density / share, -3 * std)


@FEATURE_DISTILLATION_REGISTRY.register()
class Overhaul(nn.Module):
    """Make the maps of each stage, before its last ReLU, like those of the teachers, as ``loss_overhaul``.

    A 1 x 1 convolution and a batch norm (``connectors_{i}.{j}``, for teacher i and stage j) bring the student's map to
    the teacher's width, and :func:`partial_l2` compares them above the teacher's margin (``margin{i}_{j}``), which is
    :func:`negative_mean` of the stage's last norm. The last of L stages counts fully, each one before it half as much
    as the next; the sum is divided by the images, the teachers and 10,000.

    Source: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv:1904.01866.

    Args:
        student: a backbone with ``pre_relu_features`` and ``pre_relu_norms``, as
            :class:`~fastreid.modeling.backbones.resnet.ResNet` has them.
        teachers: such backbones, with as many stages.

    Raises:
        TypeError: if a backbone has not these methods.
        ValueError: if the numbers of stages differ.
    """

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module]) -> None:
        super().__init__()
        widths = _widths(student)
        for i, teacher in enumerate(teachers):
            wanted = _widths(teacher)
            if len(wanted) != len(widths):
                raise ValueError(
                    f"teacher {i} has {len(wanted)} stages, the student {len(widths)}; take one with as many"
                )
            self.add_module(f"connectors_{i}", nn.ModuleList(map(_connector, widths, wanted)))
            for j, width in enumerate(wanted):
                self.register_buffer(f"margin{i}_{j}", torch.zeros(1, width, 1, 1))

    @staticmethod
    def features(backbone: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the maps of the stages before their last ReLU, and the feature map."""
        return backbone.pre_relu_features(images)

    def forward(
        self, student_maps: list[Tensor], teacher_maps: Sequence[list[Tensor]], teachers: Sequence[nn.Module]
    ) -> dict[str, Tensor]:
        """Return ``{"loss_overhaul": scalar}``.

        Args:
            student_maps: by stage ``(N, C_j, h_j, w_j)``.
            teacher_maps: by teacher and stage, of the same heights and widths.
            teachers: their backbones, of which the norms are read anew: those of a moving average move.

        Raises:
            ValueError: if maps of a stage differ in height or width.
        """
        total = student_maps[0].new_zeros((), dtype=torch.float32)
        for i, (maps, backbone) in enumerate(zip(teacher_maps, teachers, strict=True)):
            stages = zip(
                self.get_submodule(f"connectors_{i}"), student_maps, maps, backbone.pre_relu_norms(), strict=True
            )
            for j, (connector, own, wanted, norm) in enumerate(stages):
                if own.shape[2:] != wanted.shape[2:]:
                    raise ValueError(
                        f"stage {j} of the student has maps of {tuple(own.shape[2:])}, teacher {i} of "
                        f"{tuple(wanted.shape[2:])}; give both the same MODEL.BACKBONE.LAST_STRIDE"
                    )
                margin = self.get_buffer(f"margin{i}_{j}")
                lowest = negative_mean(at_least_float32(norm.bias.detach()), at_least_float32(norm.weight.detach()))
                margin.copy_(lowest.view_as(margin))
                total = total + partial_l2(connector(own), wanted, margin) / 2 ** (len(maps) - 1 - j)
        return {"loss_overhaul": total * (_WEIGHT / (len(student_maps[0]) * len(teachers)))}


def _widths(backbone: nn.Module) -> list[int]:
    if not hasattr(backbone, "pre_relu_features"):
        raise TypeError(
            f"KD.FEATURE_LOSS Overhaul needs backbones with pre_relu_features() and pre_relu_norms(), which "
            f"{type(backbone).__name__} has not; use build_resnet_backbone, or set KD.FEATURE_LOSS ''"
        )
    return [len(norm.weight) for norm in backbone.pre_relu_norms()]


def _connector(width: int, wanted: int) -> nn.Sequential:
    conv = nn.Conv2d(width, wanted, 1, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 / wanted))
    return nn.Sequential(conv, nn.BatchNorm2d(wanted))
