"""What is measured by default: areas, variants and sizes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["AREAS", "BARE", "CONFIG_FILE", "SAMPLERS", "VARIANTS", "Case", "parse_variant", "plan"]

AREAS = ("train", "loader", "storage", "feed", "inference", "evaluation", "sampler")
"""Names of the areas, in their order; each is a module of this package with a function ``measure``."""

CONFIG_FILE = "Market1501/bagtricks_R50-ibn.yml"

SAMPLERS = (
    "NaiveIdentitySampler",
    "BalancedIdentitySampler",
    "CameraAwareIdentitySampler",
    "SetReWeightSampler",
    "ImbalancedDatasetSampler",
    "TrainingSampler",
)

# Config settings of the baseline, and those that are compared with it, per area.
_PLAIN = ("SOLVER.AMP.ENABLED", "False")  # the recipes train in mixed precision
_LAYOUT = ("MODEL.CHANNELS_LAST", "True", "KEEP_FREED_MEMORY", "True")
_FLOAT32 = (*_LAYOUT, "TEST.FOLD_BN", "True")
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "mixed precision": ("SOLVER.AMP.ENABLED", "True"),
        "recommended": (*_LAYOUT, "SOLVER.AMP.ENABLED", "True"),
    },
    "inference": {
        "recommended": (*_FLOAT32, "TEST.AMP.ENABLED", "True"),
        "recommended without half precision": _FLOAT32,
    },
}

_SIZES: dict[str, dict[str, Any]] = {
    "train": {"batch": 64, "steps": 3},
    "loader": {"images": 2048, "batch": 64, "workers": 1},
    "storage": {"images": 4096, "batch": 64, "workers": 1},
    "feed": {"images": 2048, "batch": 64, "steps": 100, "workers": 2, "ms_per_image": 1.0},
    "inference": {"batch": 64, "steps": 5},
    "evaluation": {"queries": 3368, "gallery": 19732, "dimensions": 2048},
    "large": {"queries": 11_659, "gallery": 82_161, "dimensions": 2048, "identities": 3060, "cameras": 15},
    "on disk": {"queries": 10_000, "gallery": 1_000_000, "dimensions": 512, "identities": 10_000},
    "sampler": {"images": 1_000_000, "identities": 100_000},
}
_QUICK_SIZES: dict[str, dict[str, Any]] = {
    "train": {"batch": 16, "steps": 2},
    "loader": {"images": 256, "batch": 64, "workers": 1},
    "storage": {"images": 512, "batch": 64, "workers": 1},
    "feed": {"images": 256, "batch": 64, "steps": 20, "workers": 2, "ms_per_image": 1.0},
    "inference": {"batch": 16, "steps": 2},
    "evaluation": {"queries": 500, "gallery": 5000, "dimensions": 2048},
    "large": {"queries": 1000, "gallery": 10_000, "dimensions": 2048},
    "on disk": {"queries": 500, "gallery": 100_000, "dimensions": 64},
    "sampler": {"images": 100_000, "identities": 10_000},
}
_GPU_STEPS = 20  # times the steps of a CPU

BARE = "bare loop"
"""Variant of training that shows what the device can do: no trainer, no loader, no transfer."""


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    Args:
        area: a name of :data:`AREAS`.
        variant: what is special about it.
        values: arguments of the area's ``measure``.
        is_baseline: the other variants of the area tell how many times as fast as this one they are.
        reference: name of one more variant that this one is compared with; empty: none.
    """

    area: str
    variant: str
    values: Mapping[str, Any] = field(default_factory=dict)
    is_baseline: bool = False
    reference: str = ""


def plan(
    areas: Sequence[str] = AREAS,
    *,
    config_file: str = CONFIG_FILE,
    opts: Sequence[str] = (),
    variants: Mapping[str, Sequence[str]] | None = None,
    quick: bool = False,
    gpu: bool = False,
    large: bool = False,
) -> list[Case]:
    """List the cases of the areas, in the order of :data:`AREAS`.

    Args:
        areas: names of :data:`AREAS`, or ``area:variant`` for one of its cases.
        config_file: recipe of model, input and training.
        opts: ``KEY VALUE`` pairs that hold for all cases.
        variants: by name, further ``KEY VALUE`` pairs that training and inference are also measured with; ``None``:
            those of :data:`VARIANTS`.
        quick: take small sizes, for a look.
        gpu: train and embed more batches, since they take less time.
        large: evaluate galleries that take many minutes, too.

    Raises:
        ValueError: if there is no such area or case.
    """
    unknown = sorted({name.partition(":")[0] for name in areas} - set(AREAS))
    if unknown or not areas:
        raise ValueError(f"--only must name areas out of {', '.join(AREAS)}, got {', '.join(unknown) or 'nothing'}")
    sizes = {area: dict(values) for area, values in (_QUICK_SIZES if quick else _SIZES).items()}
    recipe = {"config_file": config_file, "opts": list(opts)}
    cases = {area: [] for area in AREAS}
    for area in ("train", "inference"):
        if gpu:
            sizes[area]["steps"] *= _GPU_STEPS
        values = {**sizes[area], **recipe}
        plain = [*_PLAIN, *opts]
        cases[area].append(Case(area, "plain float32", {**values, "opts": plain}, is_baseline=True))
        for name, more in (VARIANTS[area] if variants is None else variants).items():
            cases[area].append(Case(area, name, {**values, "opts": [*plain, *more]}))
    # A GPU wants many workers (never more than there are cores), and time to get going.
    hungry = {**sizes["train"], **recipe, **({"warm_up": 10} if gpu else {})}
    files = {**hungry, "from_files": True, **({"workers": 16} if gpu else {})}
    cases["train"].append(Case("train", BARE, {**hungry, "bare": True}))
    cases["train"].append(Case("train", "from files", files, reference=BARE))
    for plain in (True, False):
        name = "plain torchvision" if plain else "library"
        cases["loader"].append(Case("loader", name, {**sizes["loader"], **recipe, "plain": plain}, is_baseline=plain))
    for decode, what in ((True, ""), (False, ", only read")):
        for cold, where in ((False, ""), (True, ", cold")):
            for kind in ("packed", "tar"):
                values = {**sizes["storage"], **recipe, "kind": kind, "cold": cold, "decode": decode}
                cases["storage"].append(Case("storage", f"{kind}{what}{where}", values))
    cases["feed"].append(Case("feed", "stand-in accelerator", {**sizes["feed"], **recipe}))
    cases["evaluation"] = _evaluations(sizes, large=large)
    for sampler in SAMPLERS:
        cases["sampler"].append(Case("sampler", sampler, {**sizes["sampler"], "name": sampler}))
    return _chosen([case for area in AREAS for case in cases[area]], areas)


def _evaluations(sizes: Mapping[str, Mapping[str, Any]], *, large: bool) -> list[Case]:
    own, many = sizes["evaluation"], {**sizes["large"], "rounds": 1}
    values: dict[str, dict[str, Any]] = {}
    for metric in ("cosine", "euclidean"):
        values[metric] = {**own, "metric": metric}
        values[f"{metric} with ROC"] = {**own, "metric": metric, "work": "roc"}
    values |= {work: {**own, "work": work, "rounds": 1} for work in ("aqe", "rerank")}
    values["large"] = many
    if large:
        values["large rerank"] = {**many, "work": "rerank", "product": False}
        values["on disk"] = {**sizes["on disk"], "work": "disk"}
    return [Case("evaluation", name, of_case) for name, of_case in values.items()]


def _chosen(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Return the cases of some areas, and some single ones; see :func:`plan`."""
    for name in names:
        area, _, variant = name.partition(":")
        known = [case.variant for case in cases if case.area == area]
        if variant and variant not in known:
            raise ValueError(f"--only {name}: there is no such case; {area} has {', '.join(known)}")
    return [case for case in cases if case.area in names or f"{case.area}:{case.variant}" in names]


def parse_variant(text: str) -> tuple[str, list[str]]:
    """Take ``"name: KEY VALUE KEY VALUE"`` apart.

    Raises:
        ValueError: if it is not of this form.

    Example:
        >>> parse_variant("bf16: SOLVER.AMP.ENABLED True")
        ('bf16', ['SOLVER.AMP.ENABLED', 'True'])
    """
    name, _, settings = text.partition(":")
    opts = shlex.split(settings)
    if not name.strip() or not opts or len(opts) % 2:
        raise ValueError(f"--variant must read 'name: KEY VALUE KEY VALUE ...', got {text!r}")
    return name.strip(), opts
