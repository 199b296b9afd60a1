"""RepVGG: blocks that are three branches to train, and a single convolution to embed with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import get_norm
from ...layers.fold_batch_norm import scale_and_shift
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, layout_of, load_pretrained, require_norm, warn_of_unread

__all__ = ["RepVGG", "RepVGGBlock", "build_repvgg_backbone"]

_NORMS = ("rbr_identity", "rbr_dense.bn", "rbr_1x1.bn")


class RepVGGBlock(nn.Module):
    """A 3 x 3 convolution, a 1 x 1 convolution and the input, each with a norm of its own; their sum, and ReLU.

    Deployed, the branches are one 3 x 3 convolution: its ``fused_weight`` and ``fused_bias`` are then all that the
    block and its state dict have.

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
        stride: of both convolutions; the input is a branch only if it is 1 and ``inplanes`` is ``planes``.
        groups: of both convolutions.
    """

    def __init__(self, inplanes: int, planes: int, norm: Norm, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups

        def branch(kernel: int) -> nn.Sequential:
            conv = nn.Conv2d(inplanes, planes, kernel, stride, kernel // 2, groups=groups, bias=False)
            return nn.Sequential(OrderedDict(conv=conv, bn=get_norm(norm, planes)))

        self.rbr_identity = get_norm(norm, planes) if stride == 1 and inplanes == planes else None
        self.rbr_dense, self.rbr_1x1 = branch(3), branch(1)
        self.relu = nn.ReLU(inplace=True)
        self.register_parameter("fused_weight", None)
        self.register_parameter("fused_bias", None)
        self._kept: dict[str, nn.Module] = {}  # the branches while deployed: not parameters, not in the state dict

    @property
    def deployed(self) -> bool:
        """Whether the block is one convolution now."""
        return self.fused_weight is not None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inplanes, H, W)`` to ``(N, planes, H / stride, W / stride)``.

        Raises:
            RuntimeError: in training mode, if the block is deployed.
        """
        if self.deployed:
            if self.training:
                raise RuntimeError("a deployed RepVGG cannot be trained; call deploy(False) first, or eval() to embed")
            return self.relu(F.conv2d(x, self.fused_weight, self.fused_bias, self.stride, 1, groups=self.groups))
        out = self.rbr_dense(x).add_(self.rbr_1x1(x))  # in place: nobody else reads what a norm wrote
        if self.rbr_identity is not None:
            out.add_(self.rbr_identity(x))
        return self.relu(out)

    def deploy(self, mode: bool = True) -> None:
        """Become one convolution that computes what the branches compute in eval mode; or, with False, go back.

        The branches are kept aside as they are, wherever the block moves. On the way back they follow it to its device
        and dtype.

        Raises:
            ValueError: if the norms are of a kind that is no convolution, such as GN.
            RuntimeError: on the way back, if there are no branches, or the fused weights are no longer theirs because
                others were loaded.
        """
        if mode == self.deployed:
            return
        if mode:
            branches = {name: module for name, module in self.named_children() if name.startswith("rbr_")}
            weight, bias = _fuse(branches, self.groups)
            for name in branches:
                setattr(self, name, None)
        else:
            branches, weight, bias = self._branches_that_fit(), None, None
            for name, module in branches.items():
                setattr(self, name, module.to(self.fused_weight).train(self.training))
        self._kept = branches if mode else {}
        self.fused_weight, self.fused_bias = weight, bias

    def fold_norms(self) -> int:
        """Deploy for good, and return how many norms that saves: 0 if they cannot be folded, and nothing happens."""
        norms = [part for name, part in self.named_modules() if name in _NORMS]
        if any(scale_and_shift(norm) is None for norm in norms):
            return 0
        self.deploy()
        self._kept = {}
        return len(norms)

    def _branches_that_fit(self) -> dict[str, nn.Module]:
        fits = False
        if self._kept:
            weight = _fuse(self._kept, self.groups)[0].to(self.fused_weight)
            # as vectors, since the fused weights may have been in half precision meanwhile
            fits = bool((weight - self.fused_weight).norm() <= 1e-2 * weight.norm())
        if not fits:
            raise RuntimeError(
                "deploy(False): this RepVGG was deployed for good, or other fused weights were loaded into it, and "
                "they have no training form; build it anew and load a checkpoint of the training form"
            )
        return self._kept


@torch.no_grad()
def _fuse(branches: dict[str, nn.Module], groups: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight ``(C, C_in / groups, 3, 3)`` and bias ``(C,)`` of the convolution that is the branches' sum."""
    dense, pointwise = branches["rbr_dense"], branches["rbr_1x1"]
    scale, bias = _scale_and_shift(dense.bn)
    weight = dense.conv.weight * scale[:, None, None, None]
    scale, shift = _scale_and_shift(pointwise.bn)
    weight[:, :, 1, 1] += pointwise.conv.weight[:, :, 0, 0] * scale[:, None]
    bias = bias + shift
    if "rbr_identity" in branches:
        scale, shift = _scale_and_shift(branches["rbr_identity"])
        channels = torch.arange(len(scale), device=scale.device)
        weight[channels, channels % weight.shape[1], 1, 1] += scale  # of its group's inputs, each channel reads itself
        bias = bias + shift
    dtype = dense.conv.weight.dtype
    return tuple(nn.Parameter(tensor.to(dtype), requires_grad=False) for tensor in (weight, bias))


def _scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    found = scale_and_shift(norm)
    if found is None:
        raise ValueError(
            f"deploy(): {type(norm).__name__} depends on the image and is no convolution; a RepVGG can be deployed "
            "with MODEL.BACKBONE.NORM BN, syncBN, GhostBN or FrozenBN"
        )
    return found


class Layout(NamedTuple):
    """What a ``DEPTH`` stands for: blocks of stages 1 to 3, channels of stages 0 to 4, groups of every other block."""

    blocks: tuple[int, int, int]
    widths: tuple[int, int, int, int, int]
    groups: int = 1


_A, _B = (2, 4, 14), (4, 6, 16)
_B1, _B2, _B3 = (64, 128, 256, 512, 2048), (64, 160, 320, 640, 2560), (64, 192, 384, 768, 2560)
LAYOUTS = {
    "A0": Layout(_A, (48, 48, 96, 192, 1280)),
    "A1": Layout(_A, (64, 64, 128, 256, 1280)),
    "A2": Layout(_A, (64, 96, 192, 384, 1408)),
    "B0": Layout(_B, (64, 64, 128, 256, 1280)),
    "B1": Layout(_B, _B1),
    "B1g2": Layout(_B, _B1, groups=2),
    "B1g4": Layout(_B, _B1, groups=4),
    "B2": Layout(_B, _B2),
    "B2g2": Layout(_B, _B2, groups=2),
    "B2g4": Layout(_B, _B2, groups=4),
    "B3": Layout(_B, _B3),
    "B3g2": Layout(_B, _B3, groups=2),
    "B3g4": Layout(_B, _B3, groups=4),
}


class RepVGG(Backbone):
    """RepVGG without its classifier: a plain stack of :class:`RepVGGBlock`.

    Parameter names are its authors', whose training weights load; the deployed form has names of its own. The
    convolutions start as torch draws them, as the authors' do.

    Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, arXiv:2101.03697.

    Args:
        blocks: number of blocks in stages 1 to 3; stages 0 and 4 have one.
        widths: channels of the five stages.
        groups: of the convolutions of every second block within a stage.
        last_stride: stride of the last stage, 1 or 2: the map has 1/16 or 1/32 of the input's height and width.
        norm: see :func:`~fastreid.layers.get_norm`; not ``""``.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        widths: Sequence[int],
        groups: int = 1,
        last_stride: int = 1,
        norm: Norm = "BN",
    ) -> None:
        super().__init__()
        require_norm(norm, "a RepVGG")
        self._shape = FeatureShape(channels=widths[-1], stride=16 * last_stride)

        def stage(i: int, count: int, stride: int) -> nn.Sequential:
            first = RepVGGBlock(widths[i - 1], widths[i], norm, stride)
            rest = (RepVGGBlock(widths[i], widths[i], norm, 1, groups if j % 2 else 1) for j in range(1, count))
            return nn.Sequential(first, *rest)

        self.stage0 = RepVGGBlock(3, widths[0], norm, 2)
        self.stage1, self.stage2, self.stage3 = (stage(i, count, 2) for i, count in enumerate(blocks, start=1))
        self.stage4 = stage(4, 1, last_stride)

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, H / stride, W / stride)``."""
        x = self.stage2(self.stage1(self.stage0(x)))  # 1/8
        return self.stage4(self.stage3(x))

    def deploy(self, mode: bool = True) -> None:
        """Turn every block into one convolution, or, with False, back; see :meth:`RepVGGBlock.deploy`.

        A deployed network computes what it computed in eval mode; in training mode it is an error to call it.
        """
        for module in self.modules():
            if isinstance(module, RepVGGBlock):
                module.deploy(mode)


@BACKBONE_REGISTRY.register()
def build_repvgg_backbone(cfg: CfgNode) -> RepVGG:
    """Build the RepVGG of ``MODEL.BACKBONE``, in its training form.

    It reads DEPTH, LAST_STRIDE, NORM, PRETRAIN and PRETRAIN_PATH: a file of the training form, as its authors have.

    Raises:
        KeyError: if ``DEPTH`` is unknown, or for ``PRETRAIN`` without ``PRETRAIN_PATH``.
        WeightsMismatch: if the file belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    layout = layout_of(node, LAYOUTS)
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = RepVGG(
        blocks=layout.blocks,
        widths=layout.widths,
        groups=layout.groups,
        last_stride=node.LAST_STRIDE,
        norm=node.NORM,
    )
    load_pretrained(net, node, {}, node.DEPTH, may_ignore=("linear.*",))
    return net
