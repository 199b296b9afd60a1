from __future__ import annotations

import torch
from torch import nn

from ...config import CfgNode
from ...layers.pooling import POOLING_REGISTRY, Flatten
from ...layers.sync_batch_norm import synchronise_batch_norms
from ...utils import comm
from ...utils.device import resolve_device
from ...utils.env import keep_freed_memory
from ...utils.registry import Registry

__all__ = ["META_ARCH_REGISTRY", "build_model", "check_feature_dim"]

META_ARCH_REGISTRY = Registry("META_ARCH")
"""``nn.Module`` classes built as ``Cls(cfg)``: a whole model.

It takes a batch dict with ``images`` (uint8 or float, ``(N, 3, H, W)``, RGB, 0..255) and, in training mode, ``targets``
``(N,)`` int64. In training mode it returns a dict of scalar losses; in eval mode, where a bare image tensor will do as
well, the embeddings ``(N, D)``, not normalised. One with ``checkpointables()`` has stateful objects, by name, that a
run stores in its checkpoints beside the weights. One with ``map_modules()`` tells by it which of its modules return the
last feature maps; otherwise that is its ``backbone``.
"""


def build_model(cfg: CfgNode) -> nn.Module:
    """Build the model ``MODEL.META_ARCHITECTURE`` on ``MODEL.DEVICE``, in training mode.

    With ``MODEL.SYNC_BN`` its batch norms are those of all processes together. With ``MODEL.CHANNELS_LAST`` its
    convolutions, and so its feature maps, are in that memory format. With ``KEEP_FREED_MEMORY``, a model on a CPU makes
    the process keep the memory of freed tensors from now on.

    Inside ``with torch.device("meta")`` it stays there, without memory: for looking at shapes.

    Raises:
        KeyError: if no model has that name.
        ValueError: if the device is not there, or parts of the model do not fit together.
    """
    model = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    if cfg.MODEL.SYNC_BN:
        model = synchronise_batch_norms(model)
    if cfg.MODEL.CHANNELS_LAST:
        model = model.to(memory_format=torch.channels_last)  # its first convolution turns the images round
    if any(parameter.is_meta for parameter in model.parameters()):
        return model
    device = resolve_device(cfg.MODEL.DEVICE, local_rank=comm.get_local_rank())
    if cfg.KEEP_FREED_MEMORY and device.type == "cpu":
        keep_freed_memory()
    return model.to(device)


def check_feature_dim(cfg: CfgNode, backbone: nn.Module) -> None:
    """Check that ``MODEL.BACKBONE.FEAT_DIM``, which heads are built from, is what the backbone returns.

    With ``MODEL.HEADS.POOL_LAYER Flatten`` it counts all values of the map: a multiple of the channels, which the head
    checks when it sees the map.

    Raises:
        ValueError: if it is not; the message has the right value. A backbone without ``output_shape()`` is not checked.
    """
    if not hasattr(backbone, "output_shape"):
        return
    channels = backbone.output_shape().channels
    node = cfg.MODEL.BACKBONE
    if issubclass(POOLING_REGISTRY.get(cfg.MODEL.HEADS.POOL_LAYER), Flatten) and node.FEAT_DIM % channels == 0:
        return
    if channels != node.FEAT_DIM:
        raise ValueError(
            f"MODEL.BACKBONE.FEAT_DIM is {node.FEAT_DIM}, but {node.NAME} with DEPTH {node.DEPTH!r} has {channels} "
            f"channels; set MODEL.BACKBONE.FEAT_DIM {channels}"
        )
