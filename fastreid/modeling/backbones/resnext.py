"""ResNeXt 32 x 4d for re-identification: a ResNet whose 3 x 3 convolutions work on 32 groups of channels."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ...config import CfgNode
from . import resnet
from .build import BACKBONE_REGISTRY
from .common import Norm, layout_of, load_pretrained, warn_of_unread

__all__ = ["Bottleneck", "ResNeXt", "build_resnext_backbone"]


class Bottleneck(resnet.Bottleneck):
    """The bottleneck of a ResNet with twice the channels inside, whose 3 x 3 convolution has 32 groups of them."""

    groups = 32
    base_width = 4


class Layout(NamedTuple):
    """What a ``DEPTH`` stands for: the number of blocks and of non-local blocks of each stage."""

    blocks: tuple[int, int, int, int]
    non_local: tuple[int, int, int, int]


LAYOUTS = {
    "50x": Layout((3, 4, 6, 3), (0, 2, 3, 0)),
    "101x": Layout((3, 4, 23, 3), (0, 2, 3, 0)),
}

# ImageNet weights; the file's name ends with the start of its SHA-256, which is checked.
PRETRAINED = {
    "ibn_101x": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnext101_ibn_a-6ace051d.pth",
}


class ResNeXt(resnet.ResNet):
    """ResNeXt 32 x 4d without its classifier.

    Parameter names are those of :class:`~.resnet.ResNet`. The stem's max-pooling is padded, and IBN is in all stages.

    Source: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017, arXiv:1611.05431.

    Args:
        blocks, non_local, last_stride, norm: see :class:`~.resnet.ResNet`.
        with_ibn: IBN in every block.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        non_local: Sequence[int] = (0, 0, 0, 0),
        last_stride: int = 1,
        norm: Norm = "BN",
        with_ibn: bool = False,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__(
            block=Bottleneck,
            blocks=blocks,
            non_local=non_local,
            last_stride=last_stride,
            norm=norm,
            with_ibn=with_ibn,
            ibn_stages=4,
            zero_init_residual=zero_init_residual,
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)


@BACKBONE_REGISTRY.register()
def build_resnext_backbone(cfg: CfgNode) -> ResNeXt:
    """Build the ResNeXt of ``MODEL.BACKBONE``.

    It reads DEPTH, LAST_STRIDE, NORM, WITH_IBN, WITH_NL, ZERO_INIT_RESIDUAL, PRETRAIN and PRETRAIN_PATH. In a file, the
    names may have a prefix, such as ``base.``, and the last stage of a network with IBN may be without: its batch norms
    start the IBN.

    Raises:
        KeyError: if ``DEPTH`` is unknown, or ``PRETRAIN`` has no published file for this variant.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    layout = layout_of(node, LAYOUTS)
    warn_of_unread(node, "WITH_SE")
    net = ResNeXt(
        blocks=layout.blocks,
        non_local=layout.non_local if node.WITH_NL else (0, 0, 0, 0),
        last_stride=node.LAST_STRIDE,
        norm=node.NORM,
        with_ibn=node.WITH_IBN,
        zero_init_residual=node.ZERO_INIT_RESIDUAL,
    )

    def translate(state: MutableMapping[str, Tensor]) -> None:
        _strip_prefix(state)
        if node.WITH_IBN:
            _split_last_norms(state)

    load_pretrained(
        net,
        node,
        PRETRAINED,
        f"{'ibn_' if node.WITH_IBN else ''}{node.DEPTH}",
        may_miss=resnet.kinds_of_block_that_are_new,
        may_ignore=("fc.*",),
        translate=translate,
    )
    return net


def _strip_prefix(state: MutableMapping[str, Tensor]) -> None:
    """Take off the prefix of all names: what stands before ``conv1.weight`` in the name of the stem's convolution."""
    stem = min((key for key in state if f".{key}".endswith(".conv1.weight")), key=len, default="conv1.weight")
    prefix = stem.removesuffix("conv1.weight")
    for key in list(state):
        state[key.removeprefix(prefix)] = state.pop(key)


def _split_last_norms(state: MutableMapping[str, Tensor]) -> None:
    """Split each plain first norm of the last stage, as the published file has it, into the halves of an IBN.

    The half with batch norm then computes what the source did, and the half with instance norm has its scale and shift.
    """
    for key in [key for key in state if re.fullmatch(r"layer4\.\d+\.bn1\.\w+", key)]:
        block, leaf = key.rsplit(".", 1)
        value = state.pop(key)
        if value.ndim:  # all but the number of batches
            instance, value = value.chunk(2)
            if leaf in ("weight", "bias"):
                state[f"{block}.IN.{leaf}"] = instance
        state[f"{block}.BN.{leaf}"] = value
