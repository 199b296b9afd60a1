"""RegNetX and RegNetY: stages of equal blocks with grouped convolutions, whose widths grow as a line does.

torchvision's RegNet does the same arithmetic, as a test shows, but has other widths in 400x, and other names, also of
the parts that ``FREEZE_LAYERS`` sees; mapping them both ways would be as long as the blocks are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import get_norm
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, require_norm, warn_of_unread
from .pycls import SqueezeExcite, load_pycls_weights

__all__ = ["RegNet", "build_regnet_backbone"]


class Layout(NamedTuple):
    """What a ``DEPTH`` stands for: per stage the channels and the number of blocks; the channels of a group."""

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    group_width: int
    with_se: bool = False


# The paper's models; the number is that of millions of multiply-adds for an image of 224 x 224.
LAYOUTS = {
    "200x": Layout((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "400x": Layout((32, 64, 160, 384), (1, 2, 7, 12), 16),
    "800x": Layout((64, 128, 288, 672), (1, 3, 7, 5), 16),
    "1600x": Layout((72, 168, 408, 912), (2, 4, 10, 2), 24),
    "3200x": Layout((96, 192, 432, 1008), (2, 6, 15, 2), 48),
    "4000x": Layout((80, 240, 560, 1360), (2, 5, 14, 2), 40),
    "6400x": Layout((168, 392, 784, 1624), (2, 4, 10, 1), 56),
    "200y": Layout((24, 56, 152, 368), (1, 1, 4, 7), 8, with_se=True),
    "400y": Layout((48, 104, 208, 440), (1, 3, 6, 6), 8, with_se=True),
    "800y": Layout((64, 128, 320, 768), (1, 3, 8, 2), 16, with_se=True),
    "1600y": Layout((48, 120, 336, 888), (2, 6, 17, 2), 24, with_se=True),
    "3200y": Layout((72, 216, 576, 1512), (2, 5, 13, 1), 24, with_se=True),
    "4000y": Layout((128, 192, 512, 1088), (2, 6, 12, 2), 64, with_se=True),
    "6400y": Layout((144, 288, 576, 1296), (2, 7, 14, 2), 72, with_se=True),
}

# ImageNet weights, as the authors list them in pycls; see load_pycls_weights
PRETRAINED = {
    "200x": "160905981/RegNetX-200MF",
    "400x": "160905967/RegNetX-400MF",
    "800x": "160906036/RegNetX-800MF",
    "1600x": "160990626/RegNetX-1.6GF",
    "3200x": "160906139/RegNetX-3.2GF",
    "4000x": "160906383/RegNetX-4.0GF",
    "6400x": "161116590/RegNetX-6.4GF",
    "200y": "176245422/RegNetY-200MF",
    "400y": "160906449/RegNetY-400MF",
    "800y": "160906567/RegNetY-800MF",
    "1600y": "160906681/RegNetY-1.6GF",
    "3200y": "160906834/RegNetY-3.2GF",
    "4000y": "160906838/RegNetY-4.0GF",
    "6400y": "160907112/RegNetY-6.4GF",
}


class Block(nn.Module):
    """Convolutions 1 x 1, grouped 3 x 3 (with the stride) and 1 x 1, and a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels inside and of the output.
        norm: see :func:`~fastreid.layers.get_norm`.
        group_width: channels of a group, a divisor of ``planes``.
        with_se: squeeze-and-excitation behind the 3 x 3 convolution, to a quarter of ``inplanes``.
        stride: of the 3 x 3 convolution.
    """

    def __init__(
        self, inplanes: int, planes: int, norm: Norm, group_width: int, with_se: bool = False, stride: int = 1
    ) -> None:
        super().__init__()
        self.proj = None
        if stride != 1 or inplanes != planes:
            self.proj = nn.Conv2d(inplanes, planes, 1, stride=stride, bias=False)
            self.bn = get_norm(norm, planes)
        groups = planes // group_width
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["a"] = nn.Conv2d(inplanes, planes, 1, bias=False)
        parts["a_bn"] = get_norm(norm, planes)
        parts["a_relu"] = nn.ReLU(inplace=True)
        parts["b"] = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, groups=groups, bias=False)
        parts["b_bn"] = get_norm(norm, planes)
        parts["b_relu"] = nn.ReLU(inplace=True)
        if with_se:
            parts["se"] = SqueezeExcite(planes, inplanes // 4, nn.ReLU(inplace=True))
        parts["c"] = nn.Conv2d(planes, planes, 1, bias=False)
        parts["c_bn"] = get_norm(norm, planes)
        self.f = nn.Sequential(parts)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, planes, H / stride, W / stride)``."""
        shortcut = x if self.proj is None else self.bn(self.proj(x))
        return self.relu(self.f(x).add_(shortcut))  # in place: nobody else reads it


class RegNet(Backbone):
    """RegNet without its classifier; parameter names are those of pycls.

    Source: Radosavovic et al., "Designing Network Design Spaces", CVPR 2020, arXiv:2003.13678.

    Args:
        widths: channels of each of the four stages, multiples of ``group_width``.
        blocks: number of blocks in each stage.
        group_width: channels of a group of the 3 x 3 convolutions.
        with_se: squeeze-and-excitation in every block, which makes a RegNetY of a RegNetX.
        last_stride: stride of the last stage, 1 or 2: the map has 1/16 or 1/32 of the input's height and width.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        group_width: int,
        with_se: bool = False,
        last_stride: int = 1,
        norm: Norm = "BN",
    ) -> None:
        super().__init__()
        require_norm(norm, "a RegNet")
        self._shape = FeatureShape(channels=widths[-1], stride=16 * last_stride)
        inplanes = 32
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, inplanes, 3, stride=2, padding=1, bias=False),
                bn=get_norm(norm, inplanes),
                relu=nn.ReLU(inplace=True),
            )
        )

        def stage(inplanes: int, planes: int, count: int, stride: int) -> nn.Sequential:
            first = Block(inplanes, planes, norm, group_width, with_se, stride)
            others = (Block(planes, planes, norm, group_width, with_se) for _ in range(1, count))
            return nn.Sequential(OrderedDict((f"b{i}", block) for i, block in enumerate((first, *others), 1)))

        self.s1, self.s2, self.s3, self.s4 = map(
            stage, (inplanes, *widths[:-1]), widths, blocks, (2, 2, 2, last_stride)
        )
        draw_convolutions(self)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / stride, W / stride)``."""
        x = self.s2(self.s1(self.stem(x)))  # 1/8
        return self.s4(self.s3(x))


@BACKBONE_REGISTRY.register()
def build_regnet_backbone(cfg: CfgNode) -> RegNet:
    """Build the RegNet of ``MODEL.BACKBONE``.

    It reads DEPTH, LAST_STRIDE, NORM, PRETRAIN and PRETRAIN_PATH.

    Raises:
        KeyError: if ``DEPTH`` is unknown.
        ValueError: for a ``NORM`` of ``""``, and for ``GN``, which needs widths that are multiples of 32.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    layout = layout_of(node, LAYOUTS)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = RegNet(**layout._asdict(), last_stride=node.LAST_STRIDE, norm=node.NORM)
    load_pycls_weights(net, node, PRETRAINED)
    return net
