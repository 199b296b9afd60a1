"""ResNeSt for re-identification: a deep stem, split attention in every block, last stage at stride 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import get_norm
from ...layers.splat import SplAtConv2d
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, load_pretrained, require_norm, warn_of_unread

__all__ = ["ResNeSt", "build_resnest_backbone"]


class Bottleneck(nn.Module):
    """Convolution 1 x 1, split attention 3 x 3, average pooling, convolution 1 x 1, and a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels inside; the output has four times as many.
        norm: see :func:`~fastreid.layers.get_norm`.
        dilation: of the split attention's convolution.
        pool_stride: of the pooling 3 x 3 behind the split attention; 0: no pooling.
        downsample: module of the shortcut, where the shapes of input and output differ.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        norm: Norm,
        *,
        dilation: int = 1,
        pool_stride: int = 0,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        outplanes = planes * self.expansion
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = get_norm(norm, planes)
        self.conv2 = SplAtConv2d(
            planes, planes, 3, padding=dilation, dilation=dilation, bias=False, radix=2, norm_layer=norm
        )
        self.avd_layer = nn.AvgPool2d(3, pool_stride, padding=1) if pool_stride else nn.Identity()
        self.conv3 = nn.Conv2d(planes, outplanes, 1, bias=False)
        self.bn3 = get_norm(norm, outplanes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, 4 planes, H / stride, W / stride)``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.avd_layer(self.conv2(out))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out.add_(shortcut))  # in place: nobody else reads it, and a large map is not written again


class Layout(NamedTuple):
    """What a ``DEPTH`` stands for: the number of blocks of each stage, and half the channels of the stem."""

    blocks: tuple[int, int, int, int]
    stem_width: int


LAYOUTS = {
    "50x": Layout((3, 4, 6, 3), 32),
    "101x": Layout((3, 4, 23, 3), 64),
    "200x": Layout((3, 24, 36, 3), 64),
    "269x": Layout((3, 30, 48, 8), 64),
}

_AUTHORS = "https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step1/"

# ImageNet weights; a file's name ends with the start of its SHA-256, which is checked.
PRETRAINED = {
    "50x": _AUTHORS + "resnest50-528c19ca.pth",
    "101x": _AUTHORS + "resnest101-22405ba7.pth",
    "200x": _AUTHORS + "resnest200-75117900.pth",
    "269x": _AUTHORS + "resnest269-0cc87c48.pth",
}


class ResNeSt(Backbone):
    """ResNeSt without its classifier, of radix 2 and cardinality 1.

    Strides are average poolings, in the blocks and in the shortcuts. A last stage at stride 1 is dilated by 2, except
    for its first block, so that its convolutions reach as far as they did in training on ImageNet. Parameter names
    are those of its authors.

    Source: Zhang et al., "ResNeSt: Split-Attention Networks", CVPRW 2022, arXiv:2004.08955.

    Args:
        blocks: number of blocks in each of the four stages.
        stem_width: channels of the first two convolutions; the third has twice as many.
        last_stride: stride of the last stage, 1 or 2: the map has 1/16 or 1/32 of the input's height and width.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
    """

    def __init__(self, *, blocks: Sequence[int], stem_width: int = 32, last_stride: int = 1, norm: Norm = "BN") -> None:
        super().__init__()
        require_norm(norm, "a ResNeSt")
        self._shape = FeatureShape(channels=512 * Bottleneck.expansion, stride=16 * last_stride)
        stem = 2 * stem_width
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, stem_width, 3, stride=2, padding=1, bias=False),
            get_norm(norm, stem_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(stem_width, stem_width, 3, padding=1, bias=False),
            get_norm(norm, stem_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(stem_width, stem, 3, padding=1, bias=False),
        )
        self.bn1 = get_norm(norm, stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _make_stage(stem, 64, blocks[0], norm, pool_stride=0)
        self.layer2 = _make_stage(256, 128, blocks[1], norm, pool_stride=2)
        self.layer3 = _make_stage(512, 256, blocks[2], norm, pool_stride=2)
        dilation = 2 if last_stride == 1 else 1
        self.layer4 = _make_stage(1024, 512, blocks[3], norm, pool_stride=last_stride, dilation=dilation)
        draw_convolutions(self)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, 2048, H / stride, W / stride)``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # 1/4
        x = self.layer3(self.layer2(self.layer1(x)))  # 1/16
        return self.layer4(x)


def _make_stage(
    inplanes: int, planes: int, count: int, norm: Norm, *, pool_stride: int, dilation: int = 1
) -> nn.Sequential:
    """Make a stage whose first block pools (not for a stride of 0), and whose other blocks are dilated."""
    outplanes = planes * Bottleneck.expansion
    downsample = nn.Sequential(
        # at a ragged edge it averages the pixels that are there, and its map is as large as that of the block
        nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False) if pool_stride == 2 else nn.Identity(),
        nn.Conv2d(inplanes, outplanes, 1, bias=False),
        get_norm(norm, outplanes),
    )
    first = Bottleneck(inplanes, planes, norm, pool_stride=pool_stride, downsample=downsample)
    return nn.Sequential(first, *(Bottleneck(outplanes, planes, norm, dilation=dilation) for _ in range(1, count)))


@BACKBONE_REGISTRY.register()
def build_resnest_backbone(cfg: CfgNode) -> ResNeSt:
    """Build the ResNeSt of ``MODEL.BACKBONE``.

    It reads DEPTH, LAST_STRIDE, NORM, PRETRAIN and PRETRAIN_PATH.

    Raises:
        KeyError: if ``DEPTH`` is unknown.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    layout = layout_of(node, LAYOUTS)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = ResNeSt(blocks=layout.blocks, stem_width=layout.stem_width, last_stride=node.LAST_STRIDE, norm=node.NORM)
    load_pretrained(net, node, PRETRAINED, node.DEPTH, may_ignore=("fc.*",))
    return net
