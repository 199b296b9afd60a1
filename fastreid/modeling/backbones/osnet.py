"""OSNet: a small network whose blocks look at several scales and weigh them channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import InstanceNorm, get_norm
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, load_pretrained, require_norm, warn_of_unread

__all__ = ["OSNet", "build_osnet_backbone"]


class ConvNormAct(nn.Module):
    """A convolution without bias, a norm, and a ReLU unless ``act`` is False."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module, act: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.bn = norm
        self.relu = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C_in, H, W)`` to ``(N, C_out, H', W')``."""
        return self.relu(self.bn(self.conv(x)))


def _pointwise(inplanes: int, outplanes: int, norm: Norm, act: bool = True) -> ConvNormAct:
    return ConvNormAct(nn.Conv2d(inplanes, outplanes, 1, bias=False), get_norm(norm, outplanes), act)


class LightConv3x3(nn.Module):
    """A 3 x 3 convolution in two parts: pointwise and linear, then one filter per channel; norm and ReLU.

    Args:
        planes: channels of input and output.
        norm: see :func:`~fastreid.layers.get_norm`.
    """

    def __init__(self, planes: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 1, bias=False)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, groups=planes, bias=False)
        self.bn = get_norm(norm, planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        return self.relu(self.bn(self.conv2(self.conv1(x))))


class ChannelGate(nn.Module):
    """Weigh each channel by a number in (0, 1) that depends on the channels' means.

    Args:
        planes: channels; the hidden layer has a sixteenth of them.
    """

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(planes, planes // 16, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(planes // 16, planes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        weights = self.fc2(self.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))  # (N, C, 1, 1)
        return x * weights.sigmoid()


class OSBlock(nn.Module):
    """Four streams of one to four light convolutions, their gated sum, and a shortcut.

    Args:
        inplanes: channels of the input.
        outplanes: channels of the output; the streams have a quarter of them.
        norm: see :func:`~fastreid.layers.get_norm`.
        with_in: instance norm behind the shortcut.
    """

    def __init__(self, inplanes: int, outplanes: int, norm: Norm, with_in: bool = False) -> None:
        super().__init__()
        planes = outplanes // 4
        self.conv1 = _pointwise(inplanes, planes, norm)
        self.conv2a = LightConv3x3(planes, norm)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(LightConv3x3(planes, norm) for _ in range(depth))) for depth in (2, 3, 4)
        )
        self.gate = ChannelGate(planes)  # one for all streams
        self.conv3 = _pointwise(planes, outplanes, norm, act=False)
        self.downsample = None if inplanes == outplanes else _pointwise(inplanes, outplanes, norm, act=False)
        self.IN = InstanceNorm(outplanes) if with_in else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, outplanes, H, W)``."""
        reduced = self.conv1(x)  # (N, outplanes / 4, H, W)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        out = self.conv3(sum(self.gate(stream(reduced)) for stream in streams))  # (N, outplanes, H, W)
        out = out + (x if self.downsample is None else self.downsample(x))
        if self.IN is not None:
            out = self.IN(out)
        return self.relu(out)


# DEPTH -> channels of the stem and of the three stages; the last is that of the feature map
WIDTHS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}

# ImageNet weights by their authors, on Google Drive: https://drive.google.com/file/d/<id>
PRETRAINED = {
    "x1_0": "1LaG1EJpHrxdAxKnSCJ_i0u-nbxSAeiFY",
    "x0_75": "1uwA9fElHOk3ZogwbeY5GkLI6QPTX70Hq",
    "x0_5": "16DGLbZukvVYgINws8u8deSaOqjybZ83i",
    "x0_25": "1rb8UN5ZzPKRc_xvtHlyDh-cSz88YX9hs",
    "ibn_x1_0": "1sr90V6irlYYDd4_4ISU2iruoRG8J__6l",
}


class OSNet(Backbone):
    """OSNet without its embedding layer and its classifier; the map has 1/16 of the input's height and width.

    Parameter names are those of its authors, so that their weights load.

    Source: Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019, arXiv:1905.00953; with
    instance norm: arXiv:1910.06827.

    Args:
        widths: channels of the stem and of the three stages; those of the stages must be multiples of 64.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
        with_ibn: instance norm in the stem and in the first stage.
    """

    def __init__(self, *, widths: Sequence[int], norm: Norm = "BN", with_ibn: bool = False) -> None:
        super().__init__()
        require_norm(norm, "an OSNet")
        stem, first, second, third = widths
        self._shape = FeatureShape(channels=third, stride=16)
        stem_norm = InstanceNorm(stem) if with_ibn else get_norm(norm, stem)
        self.conv1 = ConvNormAct(nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False), stem_norm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        def blocks(inplanes: int, outplanes: int, with_in: bool = False) -> list[nn.Module]:
            return [OSBlock(inplanes, outplanes, norm, with_in), OSBlock(outplanes, outplanes, norm, with_in)]

        def halve(planes: int) -> nn.Module:
            return nn.Sequential(_pointwise(planes, planes, norm), nn.AvgPool2d(2))

        self.conv2 = nn.Sequential(*blocks(stem, first, with_ibn), halve(first))
        self.conv3 = nn.Sequential(*blocks(first, second), halve(second))
        self.conv4 = nn.Sequential(*blocks(second, third))
        self.conv5 = _pointwise(third, third, norm)
        draw_convolutions(self)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / 16, W / 16)``."""
        x = self.maxpool(self.conv1(x))  # 1/4
        x = self.conv3(self.conv2(x))  # 1/16
        return self.conv5(self.conv4(x))


@BACKBONE_REGISTRY.register()
def build_osnet_backbone(cfg: CfgNode) -> OSNet:
    """Build the OSNet of ``MODEL.BACKBONE``.

    It reads DEPTH, NORM, WITH_IBN, PRETRAIN and PRETRAIN_PATH; LAST_STRIDE means nothing to it. A file of
    PRETRAIN_PATH may have the embedding layer ``fc`` and the ``classifier`` of a whole network, which are left out.

    Raises:
        KeyError: if ``DEPTH`` is unknown.
        ValueError: for ``PRETRAIN`` without ``PRETRAIN_PATH``: where its authors keep the weights, no program can
            get them.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    warn_of_unread(node, "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = OSNet(widths=layout_of(node, WIDTHS), norm=node.NORM, with_ibn=node.WITH_IBN)
    if node.PRETRAIN and not node.PRETRAIN_PATH:
        raise ValueError(_where_to_get(node.DEPTH, node.WITH_IBN))
    load_pretrained(net, node, {}, node.DEPTH, may_ignore=("fc.*", "classifier.*"))
    return net


def _where_to_get(depth: str, with_ibn: bool) -> str:
    key = f"{'ibn_' if with_ibn else ''}{depth}"
    where = (
        f"get https://drive.google.com/file/d/{PRETRAINED[key]} with a browser"
        if key in PRETRAINED
        else f"nobody published ImageNet weights of {key}; get others"
    )
    return (
        f"MODEL.BACKBONE.PRETRAIN is True, but the weights of OSNet cannot be downloaded by a program: {where}, "
        "and give the file in MODEL.BACKBONE.PRETRAIN_PATH, or set PRETRAIN False"
    )
