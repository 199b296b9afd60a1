"""What RegNet and EfficientNet have in common, since both have the names and the ImageNet weights of pycls."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping

from torch import Tensor, nn

from ...config import CfgNode
from .common import load_pretrained

__all__ = ["SqueezeExcite", "load_pycls_weights"]

logger = logging.getLogger(__name__)

_URL = "https://dl.fbaipublicfiles.com/pycls/dds_baselines/"
_SUFFIX = "_dds_8gpu.pyth"


class SqueezeExcite(nn.Module):
    """Weigh each channel by a number in (0, 1) that depends on the channels' means.

    Source: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

    Args:
        channels: of input and output.
        hidden: channels of the hidden layer.
        act: its activation.
    """

    def __init__(self, channels: int, hidden: int, act: nn.Module) -> None:
        super().__init__()
        self.f_ex = nn.Sequential(nn.Conv2d(channels, hidden, 1), act, nn.Conv2d(hidden, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        return x * self.f_ex(x.mean(dim=(2, 3), keepdim=True))  # the weights: (N, C, 1, 1)


def load_pycls_weights(net: nn.Module, node: CfgNode, published: Mapping[str, str]) -> None:
    """Load ImageNet weights as :func:`~.common.load_pretrained` does; the classifier ``head.fc`` is left out.

    The networks of pycls saw BGR images, and ours see RGB ones. So the first convolution of a file of theirs, which is
    one that is downloaded or is called as they call it, ``*_dds_8gpu.pyth``, is turned round. Their files have no hash.

    Args:
        net: the backbone.
        node: ``MODEL.BACKBONE``.
        published: by ``DEPTH``, the run and the name of the network, as ``160906567/RegNetY-800MF``.

    Raises:
        KeyError: if there is no path, and nobody published weights of this depth.
        RuntimeError: if the file cannot be had or read.
        WeightsMismatch: if it belongs to another network.
    """
    urls = {depth: f"{_URL}{name}{_SUFFIX}" for depth, name in published.items()}
    theirs = not node.PRETRAIN_PATH or node.PRETRAIN_PATH.endswith(_SUFFIX)
    load_pretrained(
        net, node, urls, node.DEPTH, may_ignore=("head.fc.*",), translate=_from_bgr_to_rgb if theirs else None
    )


def _from_bgr_to_rgb(state: MutableMapping[str, Tensor]) -> None:
    stem = "stem.conv.weight"  # (C, 3, 3, 3)
    if stem in state:
        state[stem] = state[stem].flip(1)
        logger.info("The weights of pycls are for BGR images: the channels that %s reads are turned round", stem)
