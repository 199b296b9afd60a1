"""ShuffleNetV2: every block convolves every second channel and lets the others pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from ...config import CfgNode
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, load_pretrained, norm_factory, warn_of_unread

__all__ = ["ShuffleBlock", "ShuffleNetV2", "build_shufflenetv2_backbone"]

NormLayer = Callable[[int], nn.Module]


def _pointwise(inplanes: int, outplanes: int, norm: NormLayer) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inplanes, outplanes, 1, bias=False), norm(outplanes), nn.ReLU(inplace=True)


def _depthwise(planes: int, stride: int, norm: NormLayer) -> tuple[nn.Module, ...]:
    return nn.Conv2d(planes, planes, 3, stride=stride, padding=1, groups=planes, bias=False), norm(planes)


class ShuffleBlock(nn.Module):
    """Two branches side by side.

    In a block that keeps the size of the map the even channels pass as they are, and ``branch_main`` gets the odd
    ones. In a block that halves it, ``branch_proj`` and ``branch_main`` get all channels.

    Args:
        inplanes: channels of the input.
        outplanes: channels of the output, an even number; with stride 1 as many as of the input.
        stride: 1, or 2 to halve the map.
        norm: builds a norm for a number of channels.
    """

    def __init__(self, inplanes: int, outplanes: int, stride: int, norm: NormLayer) -> None:
        super().__init__()
        beside = inplanes // 2 if stride == 1 else inplanes  # channels that come out of the other branch
        inside = outplanes // 2
        self.branch_main = nn.Sequential(
            *_pointwise(beside, inside, norm),
            *_depthwise(inside, stride, norm),
            *_pointwise(inside, outplanes - beside, norm),
        )
        self.branch_proj = (
            None if stride == 1 else nn.Sequential(*_depthwise(beside, stride, norm), *_pointwise(beside, beside, norm))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, outplanes, H / stride, W / stride)``."""
        if self.branch_proj is None:
            # not x[:, 0::2], which torch 2.5 cannot export for batches of any size
            even, odd = x.unflatten(1, (-1, 2)).unbind(2)
            return torch.cat([even, self.branch_main(odd)], dim=1)
        return torch.cat([self.branch_proj(x), self.branch_main(x)], dim=1)


BLOCKS = (4, 8, 4)  # of the three stages

# DEPTH -> channels of the three stages and of the feature map
WIDTHS = {
    "0.5x": (48, 96, 192, 1024),
    "1.0x": (116, 232, 464, 1024),
    "1.5x": (176, 352, 704, 1024),
    "2.0x": (244, 488, 976, 2048),
}


class ShuffleNetV2(Backbone):
    """ShuffleNetV2 without its classifier; the map has 1/32 of the input's height and width.

    Parameter names and the order of channels are those of its authors (https://github.com/megvii-model/ShuffleNet-Series),
    so that their weights load; torchvision's network is another one.

    Source: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018,
    arXiv:1807.11164.

    Args:
        widths: channels of the three stages, even numbers above 24, and of the feature map.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``. The widths are no multiples of 32, as GN wants them.
    """

    def __init__(self, *, widths: Sequence[int], norm: Norm = "BN") -> None:
        super().__init__()
        norm_layer = norm_factory(norm, "a ShuffleNetV2")
        *stages, last = widths
        self._shape = FeatureShape(channels=last, stride=32)
        inplanes = 24
        self.first_conv = Conv2dNormActivation(3, inplanes, stride=2, norm_layer=norm_layer)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks: list[nn.Module] = []
        for outplanes, count in zip(stages, BLOCKS, strict=True):
            blocks.append(ShuffleBlock(inplanes, outplanes, 2, norm_layer))
            blocks += [ShuffleBlock(outplanes, outplanes, 1, norm_layer) for _ in range(1, count)]
            inplanes = outplanes
        self.features = nn.Sequential(*blocks)
        self.conv_last = Conv2dNormActivation(inplanes, last, kernel_size=1, norm_layer=norm_layer)
        draw_convolutions(self)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / 32, W / 32)``."""
        x = self.maxpool(self.first_conv(x))  # (N, 24, H / 4, W / 4)
        return self.conv_last(self.features(x))


@BACKBONE_REGISTRY.register()
def build_shufflenetv2_backbone(cfg: CfgNode) -> ShuffleNetV2:
    """Build the ShuffleNetV2 of ``MODEL.BACKBONE``.

    It reads DEPTH, NORM, PRETRAIN and PRETRAIN_PATH; LAST_STRIDE means nothing to it. A file of PRETRAIN_PATH may have
    the ``classifier`` of a whole network, which is left out.

    Raises:
        KeyError: if ``DEPTH`` is unknown, or for ``PRETRAIN`` without ``PRETRAIN_PATH``: its authors' weights cannot be
            downloaded by a program.
        ValueError: if ``NORM`` does not fit the network.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = ShuffleNetV2(widths=layout_of(node, WIDTHS), norm=node.NORM)
    load_pretrained(net, node, {}, node.DEPTH, may_ignore=("classifier.*",))
    return net
