"""EfficientNet: stages of inverted bottlenecks, made larger by one rule.

torchvision's EfficientNet does the same arithmetic, as a test shows, but has other norms in b5, and other names, also
of the parts that ``FREEZE_LAYERS`` sees; mapping them both ways would be as long as the blocks are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import get_norm
from ...layers.helpers import make_divisible
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, require_norm, warn_of_unread
from .pycls import SqueezeExcite, load_pycls_weights

__all__ = ["EfficientNet", "build_effnet_backbone"]


class Stage(NamedTuple):
    """A stage of b0: channels, number of blocks, size of the kernels, stride, growth inside the blocks."""

    width: int
    blocks: int
    kernel: int
    stride: int
    expansion: int


STAGES = (
    Stage(16, 1, 3, 1, 1),
    Stage(24, 2, 3, 2, 6),
    Stage(40, 2, 5, 2, 6),
    Stage(80, 3, 3, 2, 6),
    Stage(112, 3, 5, 1, 6),
    Stage(192, 4, 5, 2, 6),  # the stride is LAST_STRIDE
    Stage(320, 1, 3, 1, 6),
)

# DEPTH -> how many times as many channels, and blocks, as b0 has
SCALES = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
}

# ImageNet weights, as the authors of pycls list them; see load_pycls_weights
PRETRAINED = {
    "b0": "161305613/EN-B0",
    "b1": "161304979/EN-B1",
    "b2": "161305015/EN-B2",
    "b3": "161305060/EN-B3",
    "b4": "161305098/EN-B4",
    "b5": "161305138/EN-B5",
}


class MBConv(nn.Sequential):
    """Grow the channels, filter each, weigh each, shrink them; and a shortcut where the shapes allow it.

    Args:
        inplanes: channels of the input; the squeeze-and-excitation has a quarter of them.
        planes: channels of the output.
        norm: see :func:`~fastreid.layers.get_norm`.
        kernel: size of the filters, odd.
        stride: of the filters.
        expansion: channels inside, in units of ``inplanes``; 1 leaves the growing out.
    """

    def __init__(self, inplanes: int, planes: int, norm: Norm, kernel: int, stride: int, expansion: int) -> None:
        inside = inplanes * expansion
        filters = nn.Conv2d(inside, inside, kernel, stride, padding=kernel // 2, groups=inside, bias=False)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion != 1:
            parts["exp"] = nn.Conv2d(inplanes, inside, 1, bias=False)
            parts["exp_bn"] = get_norm(norm, inside)
            parts["exp_act"] = nn.SiLU(inplace=True)
        parts["dwise"] = filters
        parts["dwise_bn"] = get_norm(norm, inside)
        parts["dwise_act"] = nn.SiLU(inplace=True)
        parts["se"] = SqueezeExcite(inside, inplanes // 4, nn.SiLU(inplace=True))
        parts["lin_proj"] = nn.Conv2d(inside, planes, 1, bias=False)
        parts["lin_proj_bn"] = get_norm(norm, planes)
        super().__init__(parts)
        self.shortcut = stride == 1 and inplanes == planes

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, planes, H / stride, W / stride)``."""
        out = super().forward(x)
        return out.add_(x) if self.shortcut else out  # in place: nobody else reads it


class EfficientNet(Backbone):
    """EfficientNet without its classifier; parameter names are those of pycls.

    As in pycls no block is ever dropped, and every norm is the one that ``norm`` names.

    Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
    arXiv:1905.11946.

    Args:
        width: how many times as many channels as b0 has, rounded to multiples of 8.
        depth: how many times as many blocks per stage, rounded up.
        last_stride: stride of the sixth of the seven stages, 1 or 2: the map has 1/16 or 1/32 of the input's height and
            width.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
    """

    def __init__(self, *, width: float = 1.0, depth: float = 1.0, last_stride: int = 1, norm: Norm = "BN") -> None:
        super().__init__()
        require_norm(norm, "an EfficientNet")
        inplanes, channels = make_divisible(32 * width), make_divisible(1280 * width)
        self._shape = FeatureShape(channels=channels, stride=16 * last_stride)
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, inplanes, 3, stride=2, padding=1, bias=False),
                bn=get_norm(norm, inplanes),
                act=nn.SiLU(inplace=True),
            )
        )
        stages = list(STAGES)
        stages[5] = stages[5]._replace(stride=last_stride)
        for number, stage in enumerate(stages, 1):
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            for i in range(math.ceil(stage.blocks * depth)):
                planes, stride = make_divisible(stage.width * width), 1 if i else stage.stride
                blocks[f"b{i + 1}"] = MBConv(inplanes, planes, norm, stage.kernel, stride, stage.expansion)
                inplanes = planes
            self.add_module(f"s{number}", nn.Sequential(blocks))
        self.head = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(inplanes, channels, 1, bias=False),
                conv_bn=get_norm(norm, channels),
                conv_act=nn.SiLU(inplace=True),
            )
        )
        draw_convolutions(self)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / stride, W / stride)``."""
        x = self.s3(self.s2(self.s1(self.stem(x))))  # 1/8
        x = self.s6(self.s5(self.s4(x)))
        return self.head(self.s7(x))


@BACKBONE_REGISTRY.register()
def build_effnet_backbone(cfg: CfgNode) -> EfficientNet:
    """Build the EfficientNet of ``MODEL.BACKBONE``.

    It reads DEPTH, LAST_STRIDE, NORM, PRETRAIN and PRETRAIN_PATH.

    Raises:
        KeyError: if ``DEPTH`` is unknown.
        ValueError: for a ``NORM`` of ``""``, and for ``GN``, which needs widths that are multiples of 32.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    width, depth = layout_of(node, SCALES)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = EfficientNet(width=width, depth=depth, last_stride=node.LAST_STRIDE, norm=node.NORM)
    load_pycls_weights(net, node, PRETRAINED)
    return net
