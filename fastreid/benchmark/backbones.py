"""What backbones cost, side by side: parameters, FLOPs and images per second of each."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import nn

from ..config import CfgNode
from ..modeling.backbones import build_backbone
from ..utils.device import resolve_device
from .meters import seconds
from .model_info import count_costs

__all__ = ["COMPARED", "BackboneCost", "backbone_costs", "compare_backbones", "costs_text", "parse_backbones"]

logger = logging.getLogger(__name__)

COMPARED = (
    *("resnet:18x", "resnet:50x", "resnet:101x", "resnext:50x", "resnest:50x", "osnet:x1_0", "regnet:800y"),
    *("effnet:b0", "mobilenetv2:1.0x", "mobilenetv3:Large", "shufflenetv2:1.0x", "repvgg:A0"),
    *("vit:deit_small", "vit:base", "swin:tiny"),
    *("timm:convnext_atto", "timm:convnext_tiny", "timm:convnextv2_nano", "timm:swin_tiny_patch4_window7_224"),
    *("timm:eva02_tiny_patch14_224:252x126", "timm:vit_small_patch14_dinov2:252x126", "timm:vit_small_patch16_dinov3"),
    *("timm:vit_base_patch16_clip_224", "timm:tf_efficientnetv2_b0", "timm:tf_efficientnetv2_s"),
    *("timm:mobilenetv4_conv_small", "timm:mobilenetv4_conv_medium", "timm:regnety_016", "timm:fastvit_t12"),
    *("timm:repvit_m1_0", "timm:caformer_s18"),
)
"""The backbones of docs/backbones.md."""


@dataclass(frozen=True)
class BackboneCost:
    """What a backbone makes of an image, and what that costs.

    Attributes:
        name: of the builder.
        depth: which of the family.
        size: H and W of the images.
        shape: of the feature map, ``(C, h, w)``.
        parameters: numbers that are learned.
        flops: of one image; a multiply-add is two.
        images_per_second: median; on one thread of a CPU, of its own time; ``None``: not measured.
    """

    name: str
    depth: str
    size: tuple[int, int]
    shape: tuple[int, int, int]
    parameters: int
    flops: int
    images_per_second: float | None


def parse_backbones(text: str) -> list[tuple[str, str, tuple[int, int] | None]]:
    """Read ``NAME:DEPTH`` or ``NAME:DEPTH:HEIGHTxWIDTH``, separated by commas; ``all`` is :data:`COMPARED`.

    Returns:
        Builder, depth, and the size of the images if one is given. ``resnet`` is short for ``build_resnet_backbone``.

    Raises:
        ValueError: if something is none of these.
    """
    found = []
    for entry in COMPARED if text == "all" else text.split(","):
        name, *rest = entry.strip().split(":")
        sides = rest[1].split("x") if len(rest) == 2 else []
        if len(rest) not in (1, 2) or (len(rest) == 2 and not (len(sides) == 2 and all(map(str.isdecimal, sides)))):
            raise ValueError(
                f"{entry!r} is no backbone; write NAME:DEPTH or NAME:DEPTH:HEIGHTxWIDTH, as in timm:resnet50"
            )
        name = name if name.startswith("build_") else f"build_{name}_backbone"
        found.append((name, rest[0], (int(sides[0]), int(sides[1])) if sides else None))
    return found


def backbone_costs(cfg: CfgNode, *, batch: int = 16, repeats: int = 3, speed: bool = True) -> BackboneCost:
    """Measure the backbone of a config, with random weights, in eval mode.

    Args:
        cfg: not changed; ``MODEL.BACKBONE``, ``MODEL.DEVICE`` and ``INPUT.SIZE_TEST`` are read.
        batch: images at a time, where speed is measured.
        repeats: batches of which the median time is taken; one more before them is not timed.
        speed: measure the speed too.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    height, width = (*cfg.INPUT.SIZE_TEST, cfg.INPUT.SIZE_TEST[0])[:2]
    with torch.device("meta"):
        groups, output = count_costs(build_backbone(cfg).eval(), torch.empty(1, 3, height, width), depth=1)
    return BackboneCost(
        name=cfg.MODEL.BACKBONE.NAME,
        depth=cfg.MODEL.BACKBONE.DEPTH,
        size=(height, width),
        shape=tuple(output.shape[1:]),
        parameters=sum(group.parameters for group in groups),
        flops=sum(group.flops for group in groups),
        images_per_second=_speed(build_backbone(cfg), cfg, (batch, 3, height, width), repeats) if speed else None,
    )


def _speed(net: nn.Module, cfg: CfgNode, shape: Sequence[int], repeats: int) -> float:
    device = resolve_device(cfg.MODEL.DEVICE)
    net = net.to(device).eval()
    images = torch.randn(*shape, device=device)
    with torch.inference_mode():
        net(images)
        times = [_seconds(lambda: net(images), device) for _ in range(repeats)]
    return shape[0] / statistics.median(times)


def _seconds(step: Callable[[], Any], device: torch.device) -> float:
    """Return what a step takes: on one thread of a CPU its own time, which other work on the machine spoils less."""
    if device.type != "cpu" or torch.get_num_threads() > 1:
        return seconds(step, device)
    start = time.process_time()
    step()
    return time.process_time() - start


def compare_backbones(
    cfg: CfgNode, backbones: Iterable[tuple[str, str, tuple[int, int] | None]], **options: Any
) -> list[BackboneCost]:
    """Measure backbones one after the other.

    Args:
        cfg: what they share; not changed.
        backbones: see :func:`parse_backbones`.
        options: of :func:`backbone_costs`.
    """
    found = []
    for name, depth, size in backbones:
        own = cfg.clone()
        own.defrost()
        own.MODEL.BACKBONE.NAME, own.MODEL.BACKBONE.DEPTH = name, depth
        if size is not None:
            own.INPUT.SIZE_TRAIN = own.INPUT.SIZE_TEST = list(size)
        found.append(backbone_costs(own, **options))
        logger.info("%s %s measured", name, depth)
    return found


def costs_text(costs: Sequence[BackboneCost]) -> str:
    """Return a Markdown table, a line for each backbone."""
    rows = [
        (
            f"`{cost.name}`",
            f"`{cost.depth}`",
            " × ".join(map(str, cost.size)),
            " × ".join(map(str, cost.shape)),
            f"{cost.parameters / 1e6:.1f}",
            f"{cost.flops / 1e9:.1f}",
            *(() if cost.images_per_second is None else (f"{cost.images_per_second:.1f}",)),
        )
        for cost in costs
    ]
    headers = ("NAME", "DEPTH", "image", "feature map", "parameters, M", "GFLOPs", "images/s")[: len(rows[0])]
    aligned = ("left",) * 4 + ("right",) * (len(headers) - 4)
    return tabulate(rows, headers=headers, tablefmt="pipe", colalign=aligned, disable_numparse=True)
