"""What a model is made of and what it costs: parameters and FLOPs by module group, memory, images per second."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..config import CfgNode
from ..engine.inference import image_shape, inference_model
from ..modeling import build_model
from ..utils.custom_imports import import_custom_modules
from .meters import PeakMemory, seconds

__all__ = ["GroupCost", "count_costs", "model_report", "report_text"]


@dataclass(frozen=True)
class GroupCost:
    """What a part of a model costs.

    Args:
        name: of the part, as in the state dict; ``""`` is what the model has or does outside of its parts.
        parameters: numbers that are learned, frozen ones included.
        flops: of one image. A multiply-add is two; convolutions and matrix products count, all else does not.
    """

    name: str
    parameters: int
    flops: int


def count_costs(model: nn.Module, images: Tensor, *, depth: int = 2) -> tuple[list[GroupCost], Any]:
    """Count parameters and FLOPs of the parts of a model, in one call of it.

    Args:
        model: any module, also on the ``meta`` device; it runs in the mode that it is in.
        images: what to call it with, ``(N, ...)``.
        depth: of the names of parts: 2 tells ``backbone.layer1`` from ``backbone.layer2``, 1 does not.

    Returns:
        The parts that cost something, in the model's order, which sum up to the whole; and what the model returned.
    """
    part_of = {name: ".".join(name.split(".")[:depth]) for name, _ in model.named_modules()}
    parameters: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parameters[part_of[name.rpartition(".")[0]]] += parameter.numel()
    with torch.no_grad(), FlopCounterMode(display=False) as counter, _charged(model, counter) as modules:
        output = model(images)
    flops: Counter[str] = Counter()
    for name, count in modules.items():
        flops[part_of[name]] += count
    costs = [GroupCost(part, parameters[part], flops[part] // len(images)) for part in dict.fromkeys(part_of.values())]
    return [cost for cost in costs if cost.parameters or cost.flops], output


@contextmanager
def _charged(model: nn.Module, counter: FlopCounterMode) -> Iterator[Counter[str]]:
    """Charge what ``counter`` counts to the innermost module that is running, by name.

    The counter's own names do not tell a stage whose blocks are called one by one, since it never runs itself.
    """
    flops: Counter[str] = Counter()
    running: list[str] = []

    def charge() -> None:
        if running:
            flops[running[-1]] += counter.get_total_flops() - flops.total()

    def enter(name: str) -> None:
        charge()
        running.append(name)

    def leave() -> None:
        charge()
        running.pop()

    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        hooks.append(module.register_forward_hook(lambda *_: leave()))
    try:
        yield flops
    finally:
        for hook in hooks:
            hook.remove()


def model_report(
    cfg: CfgNode, *, batch: int = 64, repeats: int = 5, depth: int = 2, speed: bool = True
) -> dict[str, Any]:
    """Describe the model of a config; no weights are read.

    Parameters and FLOPs are those of the model as it is built, counted without memory for it. Speed and memory are
    those of what evaluation runs on ``MODEL.DEVICE``, as ``TEST.FOLD_BN`` and ``TEST.AMP`` ask.

    Args:
        cfg: not changed; ``MODEL.BACKBONE.PRETRAIN`` and ``MODEL.WEIGHTS`` are not used.
        batch: images at a time, where speed is measured.
        repeats: batches of which the median time is taken; one more before them is not timed.
        depth: of the parts, see :func:`count_costs`.
        speed: measure speed and memory too.

    Returns:
        ``model`` (meta-architecture), ``backbone`` (name and depth), ``input`` (C, H, W), ``embedding`` (size),
        ``groups`` (a dict of each :class:`GroupCost`), ``total`` (the same for the whole), and ``speed``, ``None``
        unless measured: ``images_per_second``, ``seconds`` of a batch, ``peak_memory_mib`` of the first batch above the
        model, ``batch``, ``repeats``, ``device``, ``dtype``.

    Raises:
        KeyError: if the config asks for a part that there is none of.
        ValueError: if a number is too small, if parts of the model do not fit, or if it returns no embeddings.
    """
    for key, value in (("batch", batch), ("repeats", repeats), ("depth", depth)):
        if value < 1:
            raise ValueError(f"{key} must be at least 1, got {value}")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    shape = image_shape(cfg)
    with torch.device("meta"):
        groups, output = count_costs(build_model(cfg).eval(), torch.empty(1, *shape), depth=depth)
    if not isinstance(output, Tensor) or output.ndim != 2:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"{cfg.MODEL.META_ARCHITECTURE} must return embeddings (N, D) in eval mode, got {found}")
    total = GroupCost("total", sum(group.parameters for group in groups), sum(group.flops for group in groups))
    return {
        "model": cfg.MODEL.META_ARCHITECTURE,
        "backbone": f"{cfg.MODEL.BACKBONE.NAME} {cfg.MODEL.BACKBONE.DEPTH}",
        "input": list(shape),
        "embedding": output.shape[1],
        "groups": [asdict(group) for group in groups],
        "total": asdict(total),
        "speed": _measure(cfg, batch, repeats) if speed else None,
    }


def _measure(cfg: CfgNode, batch: int, repeats: int) -> dict[str, Any]:
    model = inference_model(cfg, build_model(cfg).eval())
    parameter = next(model.parameters())
    images = torch.randint(256, (batch, *image_shape(cfg)), dtype=torch.uint8, device=parameter.device)
    with torch.inference_mode():
        with PeakMemory(parameter.device) as memory:
            model({"images": images})
        times = [seconds(lambda: model({"images": images}), parameter.device) for _ in range(repeats)]
    elapsed = statistics.median(times)
    return {
        "images_per_second": batch / elapsed,
        "seconds": elapsed,
        "peak_memory_mib": memory.mib,
        "batch": batch,
        "repeats": repeats,
        "device": str(parameter.device),
        "dtype": str(getattr(model, "dtype", parameter.dtype)).removeprefix("torch."),
    }


def report_text(report: dict[str, Any]) -> str:
    """Return what :func:`model_report` found as lines and a table for a human."""
    whole = report["total"]
    rows = [
        (
            group["name"] or "(model)",
            f"{group['parameters']:,}",
            f"{100 * group['parameters'] / max(1, whole['parameters']):.1f}",
            f"{group['flops'] / 1e9:.3f}",
            f"{100 * group['flops'] / max(1, whole['flops']):.1f}",
        )
        for group in (*report["groups"], whole)
    ]
    headers = ("group", "parameters", "%", "GFLOPs", "%")
    aligned = ("left", "right", "right", "right", "right")
    channels, height, width = report["input"]
    lines = [
        f"{report['model']} with {report['backbone']}: an image of {channels} x {height} x {width} (C x H x W) becomes "
        f"{report['embedding']} numbers",
        "",
        tabulate(rows, headers=headers, tablefmt="pipe", colalign=aligned, disable_numparse=True),
        "",
        "FLOPs are of one image in eval mode; a multiply-add is two (papers that count MACs give half);",
        "convolutions and matrix products count, all else does not.",
    ]
    speed = report["speed"]
    if speed is not None:
        lines.append(
            f"{speed['images_per_second']:.1f} images/s on {speed['device']} in {speed['dtype']}: batches of "
            f"{speed['batch']}, {speed['seconds']:.4f} s each, median of {speed['repeats']}; peak memory "
            f"{speed['peak_memory_mib']:.0f} MiB above the model."
        )
    return "\n".join(lines) + "\n"
