"""What the backbones share: how they read their options, start at random, and load published weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from ...config import CfgNode
from ...layers.batch_norm import get_norm
from ...utils.weights import load_weights, read_state_dict
from ..foreign import adopt_into_backbone

__all__ = [
    "Norm",
    "draw_convolutions",
    "layout_of",
    "load_pretrained",
    "norm_factory",
    "require_norm",
    "warn_of_unread",
]

logger = logging.getLogger(__name__)

Norm = str | Callable[..., nn.Module]
_Layout = TypeVar("_Layout")


def layout_of(node: CfgNode, layouts: Mapping[str, _Layout]) -> _Layout:
    """Return the layout that ``DEPTH`` names.

    Args:
        node: ``MODEL.BACKBONE``.
        layouts: what the builder knows, by depth.

    Raises:
        KeyError: if the depth is unknown; the message lists those that are not.
    """
    if node.DEPTH not in layouts:
        raise KeyError(f"MODEL.BACKBONE.DEPTH is {node.DEPTH!r}, but {node.NAME} knows {', '.join(layouts)}")
    return layouts[node.DEPTH]


def warn_of_unread(node: CfgNode, *options: str) -> None:
    """Say which of the ``options`` of ``MODEL.BACKBONE`` are on although the builder does not read them."""
    for option in options:
        if node[option]:
            logger.warning("MODEL.BACKBONE.%s has no effect: %s does not read it", option, node.NAME)


def require_norm(norm: Norm, network: str) -> None:
    """Raise ``ValueError`` if ``norm`` is ``""``; ``network`` is whose it is, such as ``a ResNet``."""
    if norm == "":
        raise ValueError(
            f"MODEL.BACKBONE.NORM is '', but {network} needs a norm; use BN, syncBN, GhostBN or FrozenBN, or GN where "
            "all widths are multiples of 32"
        )


def norm_factory(norm: Norm, network: str) -> Callable[..., nn.Module]:
    """Return what builds a norm for a number of channels; see :func:`require_norm`."""
    require_norm(norm, network)
    return partial(get_norm, norm)


def draw_convolutions(net: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (k k C_out)), with a bias of 0; norms start as identity by themselves."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def load_pretrained(
    net: nn.Module,
    node: CfgNode,
    published: Mapping[str, str],
    key: str,
    *,
    may_miss: Iterable[str] | Callable[[Collection[str]], Iterable[str]] = (),
    may_ignore: Iterable[str] = (),
    translate: Callable[[MutableMapping[str, Tensor]], Any] | None = None,
) -> None:
    """Load weights of a trained network if ``PRETRAIN`` says so: those of ``PRETRAIN_PATH``, or published ones.

    Those of other people's networks that :mod:`fastreid.modeling.foreign` knows are translated first.

    Args:
        net: the backbone.
        node: ``MODEL.BACKBONE``.
        published: URLs by key.
        key: the variant, as ``published`` names it.
        may_miss: patterns of keys of the backbone that the file need not have, or a function that tells them from the
            file's keys.
        may_ignore: patterns of the file's keys that the backbone need not have, such as the classifier's.
        translate: renames the file's keys in place.

    Raises:
        KeyError: if there is no path, and nobody published weights of this variant.
        RuntimeError: if the file cannot be had or read; see :func:`~fastreid.utils.weights.read_state_dict`.
        WeightsMismatch: if it belongs to another network.
    """
    if not node.PRETRAIN:
        return
    source = node.PRETRAIN_PATH
    if not source:
        if key not in published:
            known = f" Published: {', '.join(published)}." if published else ""
            raise KeyError(
                f"MODEL.BACKBONE.PRETRAIN is True, but no ImageNet weights of {key} for {node.NAME} can be downloaded; "
                f"give a file in MODEL.BACKBONE.PRETRAIN_PATH, or set PRETRAIN False.{known}"
            )
        source = published[key]
    state = read_state_dict(source)
    adopt_into_backbone(state, net)
    if translate is not None:
        translate(state)
    missing = may_miss(state) if callable(may_miss) else may_miss
    load_weights(net, state, source=source, may_miss=missing, may_ignore=may_ignore)
