"""MobileNetV3: torchvision's layers, and one more convolution in the place of the classifier's hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor, nn
from torchvision import models
from torchvision.ops import Conv2dNormActivation

from ...config import CfgNode
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, draw_convolutions, layout_of, load_pretrained, norm_factory, warn_of_unread

__all__ = ["MobileNetV3", "build_mobilenetv3_backbone"]

# DEPTH -> torchvision's network, and the channels of the feature map
LAYOUTS = {"Large": (models.mobilenet_v3_large, 1280), "Small": (models.mobilenet_v3_small, 1024)}

# torchvision's ImageNet weights; a file's name ends with the start of its SHA-256, which is checked.
PRETRAINED = {
    "Large": "https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
    "Small": "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
}


class MobileNetV3(Backbone):
    """MobileNetV3 without its classifier; the map has 1/32 of the input's height and width.

    ``features`` are torchvision's, except that the norms have the ``eps`` of all norms here, 1e-5 and not 1e-3; behind
    them stands ``conv``, a pointwise convolution with norm and ReLU6.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244.

    Args:
        whole: builds the network of torchvision.
        channels: of the feature map.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``. The widths are no multiples of 32, as GN wants them.
    """

    def __init__(
        self,
        *,
        whole: Callable[..., models.MobileNetV3],
        channels: int,
        norm: Norm = "BN",
    ) -> None:
        super().__init__()
        norm_layer = norm_factory(norm, "a MobileNetV3")
        self._shape = FeatureShape(channels=channels, stride=32)
        self.features = whole(weights=None, num_classes=1, norm_layer=norm_layer).features
        self.conv = Conv2dNormActivation(
            self.features[-1].out_channels,
            channels,
            kernel_size=1,
            norm_layer=norm_layer,
            activation_layer=nn.ReLU6,
        )
        draw_convolutions(self.conv)  # torchvision drew the others, in the same way

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / 32, W / 32)``."""
        return self.conv(self.features(x))


@BACKBONE_REGISTRY.register()
def build_mobilenetv3_backbone(cfg: CfgNode) -> MobileNetV3:
    """Build the MobileNetV3 of ``MODEL.BACKBONE``.

    It reads DEPTH, NORM, PRETRAIN and PRETRAIN_PATH; LAST_STRIDE means nothing to it. A file of PRETRAIN_PATH may have
    the ``classifier`` of a whole network, which is left out, and may lack ``conv``, which torchvision's network does
    not have: it keeps its random start then, and the log says so.

    Raises:
        KeyError: if ``DEPTH`` is unknown.
        ValueError: if ``NORM`` does not fit the network.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    whole, channels = layout_of(node, LAYOUTS)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = MobileNetV3(whole=whole, channels=channels, norm=node.NORM)
    load_pretrained(net, node, PRETRAINED, node.DEPTH, may_miss=_conv_if_it_is_new, may_ignore=("classifier.*",))
    return net


def _conv_if_it_is_new(keys: Collection[str]) -> tuple[str, ...]:
    return () if any(key.startswith("conv.") for key in keys) else ("conv.*",)
