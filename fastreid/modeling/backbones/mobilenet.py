"""MobileNetV2: blocks that widen, filter each channel and narrow again, with shortcuts between the narrow ends."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import torch
from torch import Tensor, nn
from torchvision import models

from ...config import CfgNode
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, layout_of, load_pretrained, norm_factory, warn_of_unread

__all__ = ["MobileNetV2", "build_mobilenetv2_backbone"]

# DEPTH -> the factor of all widths but the last, and the number that they are multiples of
WIDTHS = {
    "1.0x": (1.0, 8),
    "0.75x": (0.75, 8),
    "0.5x": (0.5, 8),
    "0.35x": (0.35, 8),
    "0.25x": (0.25, 8),
    "0.1x": (0.1, 4),
}

# torchvision's ImageNet weights; the file's name ends with the start of its SHA-256, which is checked.
PRETRAINED = {"1.0x": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"}


class MobileNetV2(Backbone):
    """MobileNetV2 without its classifier; the map has 1280 channels, and 1/32 of the input's height and width.

    The layers are torchvision's; their names are those of https://github.com/d-li14/mobilenetv2.pytorch, where the
    layers of a block are counted through and the last convolution is ``conv``.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381.

    Args:
        width: factor of the channels of all layers but the last, in (0, 1].
        divisor: these channels are rounded to multiples of it.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``. The widths are no multiples of 32, as GN wants them.
    """

    def __init__(self, *, width: float = 1.0, divisor: int = 8, norm: Norm = "BN") -> None:
        super().__init__()
        whole = models.MobileNetV2(
            num_classes=1,  # the classifier is drawn and not used
            width_mult=width,
            round_nearest=divisor,
            norm_layer=norm_factory(norm, "a MobileNetV2"),
        )
        stem, *blocks, last = whole.features
        for block in blocks:
            block.conv = nn.Sequential(*_flatten(block.conv))
        self.features = nn.Sequential(stem, *blocks)
        self.conv = last

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return FeatureShape(channels=1280, stride=32)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, 1280, H / 32, W / 32)``."""
        return self.conv(self.features(x))


def _flatten(layers: nn.Sequential) -> Iterator[nn.Module]:
    for layer in layers:
        yield from layer if isinstance(layer, nn.Sequential) else (layer,)


@BACKBONE_REGISTRY.register()
def build_mobilenetv2_backbone(cfg: CfgNode) -> MobileNetV2:
    """Build the MobileNetV2 of ``MODEL.BACKBONE``.

    It reads DEPTH, NORM, PRETRAIN and PRETRAIN_PATH; LAST_STRIDE means nothing to it. A file of PRETRAIN_PATH may be
    torchvision's, and may have the ``classifier`` of a whole network, which is left out.

    Raises:
        KeyError: if ``DEPTH`` is unknown, or ``PRETRAIN`` has no published file for it.
        ValueError: if ``NORM`` does not fit the network.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    width, divisor = layout_of(node, WIDTHS)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = MobileNetV2(width=width, divisor=divisor, norm=node.NORM)
    load_pretrained(
        net, node, PRETRAINED, node.DEPTH, may_ignore=("classifier.*",), translate=_rename_those_of_torchvision
    )
    return net


def _rename_those_of_torchvision(state: MutableMapping[str, Tensor]) -> None:
    """Rename the keys of torchvision's file in place: its layers are ours, in the same order."""
    if "features.1.conv.0.0.weight" not in state:
        return
    with torch.device("meta"):
        theirs = models.MobileNetV2().features.state_dict(prefix="features.")
        ours = MobileNetV2().state_dict()
    # all are taken out before the first is put back: what one is called here, another one is called there
    state.update({new: state.pop(old) for old, new in zip(theirs, ours, strict=True) if old in state})
