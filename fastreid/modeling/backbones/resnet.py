"""ResNet for re-identification: optional IBN, squeeze-and-excitation and non-local blocks, last stage at stride 1."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import IBN, get_norm
from ...layers.non_local import Non_local
from ...layers.se_layer import SELayer
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, load_pretrained, require_norm

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "build_resnet_backbone"]

logger = logging.getLogger(__name__)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        bn_norm: see :func:`~fastreid.layers.get_norm`.
        with_ibn: IBN behind the first convolution.
        with_se: squeeze-and-excitation before the shortcut is added.
        stride: of the first convolution.
        downsample: module of the shortcut, where the shapes of input and output differ.
        reduction: of the squeeze-and-excitation.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        bn_norm: Norm,
        with_ibn: bool = False,
        with_se: bool = False,
        stride: int = 1,
        downsample: nn.Module | None = None,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = IBN(planes, bn_norm) if with_ibn else get_norm(bn_norm, planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = get_norm(bn_norm, planes)
        self.relu = nn.ReLU(inplace=True)
        self.se = SELayer(planes, reduction) if with_se else nn.Identity()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, planes, H / stride, W / stride)``."""
        return self.relu(self.before_relu(x))

    def before_relu(self, x: Tensor) -> Tensor:
        """Return what the last ReLU is given."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return out.add_(shortcut)  # in place: nobody else reads it, and a large map is not written again

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the shortcut is added."""
        return self.bn2


class Bottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3 (with the stride) and 1 x 1, and a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels inside; the output has four times as many.
        bn_norm: see :func:`~fastreid.layers.get_norm`.
        with_ibn: IBN behind the first convolution.
        with_se: squeeze-and-excitation before the shortcut is added.
        stride: of the 3 x 3 convolution.
        downsample: module of the shortcut, where the shapes of input and output differ.
        reduction: of the squeeze-and-excitation.
    """

    expansion = 4
    groups = 1  # of the 3 x 3 convolution
    base_width = 64  # channels of each group, per 64 planes

    def __init__(
        self,
        inplanes: int,
        planes: int,
        bn_norm: Norm,
        with_ibn: bool = False,
        with_se: bool = False,
        stride: int = 1,
        downsample: nn.Module | None = None,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        width, outplanes = planes * self.base_width // 64 * self.groups, planes * self.expansion
        self.conv1 = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1 = IBN(width, bn_norm) if with_ibn else get_norm(bn_norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=self.groups, bias=False)
        self.bn2 = get_norm(bn_norm, width)
        self.conv3 = nn.Conv2d(width, outplanes, 1, bias=False)
        self.bn3 = get_norm(bn_norm, outplanes)
        self.relu = nn.ReLU(inplace=True)
        self.se = SELayer(outplanes, reduction) if with_se else nn.Identity()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, 4 planes, H / stride, W / stride)``."""
        return self.relu(self.before_relu(x))

    def before_relu(self, x: Tensor) -> Tensor:
        """Return what the last ReLU is given."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.se(self.bn3(self.conv3(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return out.add_(shortcut)  # in place: nobody else reads it, and a large map is not written again

    @property
    def last_norm(self) -> nn.Module:
        """The norm before the shortcut is added."""
        return self.bn3


class Layout(NamedTuple):
    """What a ``DEPTH`` stands for: the block, and per stage the number of blocks and of non-local blocks."""

    block: type[BasicBlock | Bottleneck]
    blocks: tuple[int, int, int, int]
    non_local: tuple[int, int, int, int]


LAYOUTS = {
    "18x": Layout(BasicBlock, (2, 2, 2, 2), (0, 0, 0, 0)),
    "34x": Layout(BasicBlock, (3, 4, 6, 3), (0, 0, 0, 0)),
    "50x": Layout(Bottleneck, (3, 4, 6, 3), (0, 2, 3, 0)),
    "101x": Layout(Bottleneck, (3, 4, 23, 3), (0, 2, 9, 0)),
}

_TORCHVISION = "https://download.pytorch.org/models/"
_IBN_NET = "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/"

# ImageNet weights; a file's name ends with the start of its SHA-256, which is checked.
PRETRAINED = {
    "18x": _TORCHVISION + "resnet18-5c106cde.pth",
    "34x": _TORCHVISION + "resnet34-333f7ec4.pth",
    "50x": _TORCHVISION + "resnet50-19c8e357.pth",
    "101x": _TORCHVISION + "resnet101-5d3b4d8f.pth",
    "ibn_18x": _IBN_NET + "resnet18_ibn_a-2f571257.pth",
    "ibn_34x": _IBN_NET + "resnet34_ibn_a-94bc1577.pth",
    "ibn_50x": _IBN_NET + "resnet50_ibn_a-d9d0bb7b.pth",
    "ibn_101x": _IBN_NET + "resnet101_ibn_a-59ea0ac6.pth",
    "se_ibn_101x": _IBN_NET + "se_resnet101_ibn_a-fabed4e2.pth",
}


class ResNet(Backbone):
    """ResNet without its classifier.

    Parameter names are torchvision's; the non-local blocks of stage i, which stand behind the last blocks of the
    stage, are ``NL_i``. The stem's max-pooling has no padding and keeps the ragged edge (``ceil_mode``).

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385; the last stride of 1
    is from Sun et al., "Beyond Part Models", ECCV 2018, arXiv:1711.09349.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        blocks: number of blocks in each of the four stages.
        non_local: number of non-local blocks in each stage, at most that of the blocks.
        last_stride: stride of the last stage, 1 or 2: the map has 1/16 or 1/32 of the input's height and width.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
        with_ibn: IBN in the first ``ibn_stages`` stages.
        with_se: squeeze-and-excitation in every block.
        ibn_stages: 0 to 4.
        zero_init_residual: begin with a weight of 0 in the last norm of each block, so that the block is its shortcut.

    Raises:
        ValueError: if the norm does not fit.
    """

    def __init__(
        self,
        *,
        block: type[BasicBlock | Bottleneck],
        blocks: Sequence[int],
        non_local: Sequence[int] = (0, 0, 0, 0),
        last_stride: int = 1,
        norm: Norm = "BN",
        with_ibn: bool = False,
        with_se: bool = False,
        ibn_stages: int = 3,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        require_norm(norm, "a ResNet")
        self._shape = FeatureShape(channels=512 * block.expansion, stride=16 * last_stride)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = get_norm(norm, 64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        widths = (64, *(planes * block.expansion for planes in (64, 128, 256, 512)))

        def stage(i: int, planes: int, stride: int) -> nn.Sequential:
            return _make_stage(block, widths[i], planes, blocks[i], stride, norm, with_ibn and i < ibn_stages, with_se)

        self.layer1 = stage(0, 64, 1)
        self.layer2 = stage(1, 128, 2)
        self.layer3 = stage(2, 256, 2)
        self.layer4 = stage(3, 512, last_stride)
        draw_convolutions(self)
        if zero_init_residual:
            self._begin_as_shortcuts(norm)
        # Non-local blocks come after that: they start as torch and their zero norm leave them.
        self.NL_1, self.NL_2, self.NL_3, self.NL_4 = (
            nn.ModuleList(Non_local(width, norm) for _ in range(count)) for width, count in zip(widths[1:], non_local)
        )

    def _begin_as_shortcuts(self, norm: Norm) -> None:
        for block in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            if not isinstance(block.last_norm.weight, nn.Parameter):
                raise ValueError(
                    f"MODEL.BACKBONE.ZERO_INIT_RESIDUAL needs a norm that learns, but NORM is {norm!r}, whose weights "
                    "would stay 0; take BN, or set it False"
                )
            nn.init.zeros_(block.last_norm.weight)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / stride, W / stride)``."""
        return self._run(x)

    def pre_relu_features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return, beside what :meth:`forward` returns, what the last ReLU of each stage is given, first."""
        sums: list[Tensor] = []
        return sums, self._run(x, sums)

    def pre_relu_norms(self) -> list[nn.Module]:
        """Return the last norm of each stage, from which :meth:`pre_relu_features` have their widths."""
        return [stage[-1].last_norm for stage in (self.layer1, self.layer2, self.layer3, self.layer4)]

    def _run(self, x: Tensor, sums: list[Tensor] | None = None) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, H / 4, W / 4)
        x = _run_stage(x, self.layer1, self.NL_1, sums)
        x = _run_stage(x, self.layer2, self.NL_2, sums)  # 1/8
        x = _run_stage(x, self.layer3, self.NL_3, sums)  # 1/16
        return _run_stage(x, self.layer4, self.NL_4, sums)


def _make_stage(
    block: type[BasicBlock | Bottleneck],
    inplanes: int,
    planes: int,
    count: int,
    stride: int,
    norm: Norm,
    with_ibn: bool,
    with_se: bool,
) -> nn.Sequential:
    outplanes = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outplanes:
        conv = nn.Conv2d(inplanes, outplanes, 1, stride=stride, bias=False)
        downsample = nn.Sequential(conv, get_norm(norm, outplanes))
    first = block(inplanes, planes, norm, with_ibn, with_se, stride, downsample)
    return nn.Sequential(first, *(block(outplanes, planes, norm, with_ibn, with_se) for _ in range(1, count)))


def _run_stage(x: Tensor, blocks: nn.Sequential, non_locals: nn.ModuleList, sums: list[Tensor] | None) -> Tensor:
    """Run a stage whose last ``len(non_locals)`` blocks are each followed by a non-local block.

    What the last ReLU of the stage is given is appended to ``sums``.
    """
    plain = len(blocks) - len(non_locals)
    for i, block in enumerate(blocks):
        if sums is not None and i + 1 == len(blocks):
            sums.append(block.before_relu(x))
            x = F.relu(sums[-1])  # not in place
        else:
            x = block(x)
        if i >= plain:
            x = non_locals[i - plain](x)
    return x


@BACKBONE_REGISTRY.register()
def build_resnet_backbone(cfg: CfgNode) -> ResNet:
    """Build the ResNet of ``MODEL.BACKBONE``.

    It reads DEPTH, LAST_STRIDE, NORM, WITH_IBN, WITH_SE, WITH_NL, ZERO_INIT_RESIDUAL, PRETRAIN and PRETRAIN_PATH.

    Raises:
        KeyError: if ``DEPTH`` is unknown, or ``PRETRAIN`` has no published file for this variant.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    layout = layout_of(node, LAYOUTS)
    if node.WITH_NL and not any(layout.non_local):
        logger.warning("MODEL.BACKBONE.WITH_NL has no effect: a ResNet of DEPTH %s has no non-local blocks", node.DEPTH)
    net = ResNet(
        block=layout.block,
        blocks=layout.blocks,
        non_local=layout.non_local if node.WITH_NL else (0, 0, 0, 0),
        last_stride=node.LAST_STRIDE,
        norm=node.NORM,
        with_ibn=node.WITH_IBN,
        with_se=node.WITH_SE,
        zero_init_residual=node.ZERO_INIT_RESIDUAL,
    )
    key = f"{'se_' if node.WITH_SE else ''}{'ibn_' if node.WITH_IBN else ''}{node.DEPTH}"
    load_pretrained(net, node, PRETRAINED, key, may_miss=kinds_of_block_that_are_new, may_ignore=("fc.*",))
    return net


def kinds_of_block_that_are_new(keys: Collection[str]) -> list[str]:
    """Return the patterns of the kinds of blocks that a file has none of: they keep their random start."""
    new = []
    if not any(".se." in key for key in keys):
        new.append("*.se.*")
    if not any(key.startswith("NL_") for key in keys):
        new.append("NL_*")
    return new
