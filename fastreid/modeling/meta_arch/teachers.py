"""Build the teachers of a distillation from their configs and weights."""

from __future__ import annotations

from contextlib import nullcontext

import torch

from ...config import CfgNode, get_cfg, get_config_file
from ...utils.custom_imports import import_custom_modules
from ...utils.weights import WeightsMismatch, load_weights, read_state_dict
from ..backbones.build import build_backbone
from ..heads.build import build_heads
from .baseline import Baseline
from .build import check_feature_dim
from .pixel_statistics import pixel_statistics

__all__ = ["check_teachers", "load_teachers"]


def check_teachers(cfg: CfgNode) -> None:
    """Check that every teacher of ``KD`` has a config and weights.

    Raises:
        ValueError: if not.
    """
    configs, weights = len(cfg.KD.MODEL_CONFIG), len(cfg.KD.MODEL_WEIGHTS)
    if configs != weights:
        raise ValueError(
            f"KD.MODEL_CONFIG names {configs} teachers, but KD.MODEL_WEIGHTS {weights}; give each teacher both"
        )


def load_teachers(cfg: CfgNode, device: torch.device) -> list[Baseline]:
    """Build the teachers of ``KD.MODEL_CONFIG``, with the weights of ``KD.MODEL_WEIGHTS``.

    A config is a path, or the name of a shipped one. Of it, only the backbone, the head and the pixel statistics are
    read, and the files of its ``CUSTOM_IMPORTS`` are imported; ``MODEL.HEADS.NUM_CLASSES`` 0 means that of the student.
    The random streams are left as they were.

    Args:
        cfg: the student's.
        device: where they are put; ``meta``: without weights.

    Raises:
        FileNotFoundError: if a config or a weight file is missing.
        ValueError: if a teacher has other classes than the student.
        WeightsMismatch: if weights do not fit, also in the number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        return [_load(cfg, *files, device) for files in zip(cfg.KD.MODEL_CONFIG, cfg.KD.MODEL_WEIGHTS, strict=True)]


def _load(cfg: CfgNode, config_file: str, weights: str, device: torch.device) -> Baseline:
    node = _config_of(cfg, config_file)
    with torch.device("meta") if device.type == "meta" else nullcontext():
        backbone = build_backbone(node)
        check_feature_dim(node, backbone)
        teacher = Baseline(backbone=backbone, heads=build_heads(node), **pixel_statistics(node, backbone))
    if device.type == "meta":
        return teacher
    try:
        state = read_state_dict(weights)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"KD.MODEL_WEIGHTS: {error}; train this teacher first, with the config {config_file}"
        ) from error
    report = load_weights(teacher, state, source=weights)
    unlike = [line for line in report.allowed if line.startswith("heads.") and "num_batches_tracked" not in line]
    if unlike:
        raise WeightsMismatch(
            f"the teacher of KD.MODEL_WEIGHTS {weights} cannot teach these classes: {', '.join(unlike)}; "
            "train it on the student's training set"
        )
    if cfg.MODEL.CHANNELS_LAST:
        teacher = teacher.to(memory_format=torch.channels_last)
    return teacher.to(device)


def _config_of(cfg: CfgNode, config_file: str) -> CfgNode:
    node = get_cfg()
    try:
        node.merge_from_file(get_config_file(config_file))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"KD.MODEL_CONFIG: {error} To use a student without its teachers, set MODEL.META_ARCHITECTURE Baseline"
        ) from error
    import_custom_modules(node.CUSTOM_IMPORTS)
    node.MODEL.BACKBONE.PRETRAIN = False
    own, theirs = cfg.MODEL.HEADS.NUM_CLASSES, node.MODEL.HEADS.NUM_CLASSES
    if own and theirs not in (0, own):
        raise ValueError(
            f"MODEL.HEADS.NUM_CLASSES of the teacher {config_file} is {theirs}, but the student has {own}; "
            "train both on the same set"
        )
    node.MODEL.HEADS.NUM_CLASSES = theirs or own
    return node
