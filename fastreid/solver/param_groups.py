"""Which learning rate and weight decay each parameter gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from ..utils.weights import unwrap_model
from .freeze import frozen_parameter_names

__all__ = ["get_default_optimizer_params", "merge_param_groups"]

_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


def get_default_optimizer_params(
    model: nn.Module,
    base_lr: float | None = None,
    weight_decay: float | None = None,
    weight_decay_norm: float | None = None,
    bias_lr_factor: float | None = 1.0,
    heads_lr_factor: float | None = 1.0,
    weight_decay_bias: float | None = None,
    overrides: dict[str, dict[str, float]] | None = None,
    freeze_layers: Sequence[str] | None = [],  # nothing changes it
    *,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Return one parameter group for each parameter that is trained.

    All start from ``base_lr`` and ``weight_decay``. The parameters of a norm layer get ``weight_decay_norm``; then one
    called ``bias``, in a norm layer too, gets ``base_lr * bias_lr_factor`` and ``weight_decay_bias``; then comes what
    ``overrides`` says for its own name; and everything below ``heads``, or below a top-level ``*_head`` of a model with
    several, gets ``heads_lr_factor`` times the rate it has so far. With a ``layer_decay`` the parameters of layer l of
    a backbone with L layers get ``layer_decay ** (L - l)`` times their rate. ``None`` keeps what a parameter has so
    far, and at last the optimizer's own default.

    Args:
        model: the model, or its data-parallel wrapper.
        base_lr: learning rate.
        weight_decay: of whatever is neither a bias nor in a norm layer.
        weight_decay_norm: of norm layers.
        bias_lr_factor: factor of the rate of biases.
        heads_lr_factor: factor of the rate of the head, or heads.
        weight_decay_bias: of biases.
        overrides: ``{parameter name without its module: {option: value}}``.
        freeze_layers: see ``frozen_parameter_names``.
        layer_decay: factor of the rate from one layer to the one before, in (0, 1]; 1: none. Source: Bao et al.,
            "BEiT", ICLR 2022, arXiv:2106.08254.

    Returns:
        Groups with ``params`` (one parameter), ``name``, ``freeze_status`` (``"freeze"`` or ``"normal"``) and, where
        they are set, ``lr`` and ``weight_decay``; with a factor other than 1 also ``part``, which says whose it is:
        ``bias``, ``heads`` or ``heads_bias``, with a ``layer_decay`` also ``layer3``. A parameter with two names is
        there once, one that needs no gradient is not there.

    Raises:
        ValueError: if a factor is given without ``base_lr``, the layers are to be told apart and the model has no
            backbone that can, or a pattern of ``freeze_layers`` matches nothing.
    """
    model = unwrap_model(model)
    frozen = frozen_parameter_names(model, freeze_layers or ())
    by_name = {name: dict(options) for name, options in (overrides or {}).items()}
    for argument, factor in (("bias_lr_factor", bias_lr_factor), ("heads_lr_factor", heads_lr_factor)):
        if factor not in (None, 1.0) and base_lr is None:
            raise ValueError(f"{argument} is {factor}, a factor of base_lr, but base_lr is None; give both")
    layers = _layers(model, layer_decay, base_lr)
    bias_lr = None if base_lr is None or bias_lr_factor is None else base_lr * bias_lr_factor
    bias_options = _given(lr=bias_lr, weight_decay=weight_decay_bias)
    groups = []
    for module, name, parameter in _trained_parameters(model):
        own_name = name.rpartition(".")[2]
        options = _given(lr=base_lr, weight_decay=weight_decay)
        if isinstance(module, _NORMS):
            options |= _given(weight_decay=weight_decay_norm)
        if own_name == "bias":
            options |= bias_options
        options |= by_name.get(own_name, {})
        parts = ["bias"] if own_name == "bias" and bias_lr_factor not in (None, 1.0) else []
        if _is_of_a_head(name) and heads_lr_factor not in (None, 1.0):
            options["lr"] *= heads_lr_factor
            parts.insert(0, "heads")
        if name in layers:
            layer, behind = layers[name]
            options["lr"] *= layer_decay**behind
            parts.insert(0, f"layer{layer}")
        if parts:
            options["part"] = "_".join(parts)
        status = "freeze" if name in frozen else "normal"
        groups.append({"params": [parameter], "name": name, "freeze_status": status, **options})
    return groups


def _layers(model: nn.Module, layer_decay: float, base_lr: float | None) -> dict[str, tuple[int, int]]:
    """Return the layer of each parameter of the backbone whose rate decays, and how many layers are behind it."""
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay (SOLVER.LAYER_DECAY) must be in (0, 1], got {layer_decay}; 1 decays nothing")
    if layer_decay == 1:
        return {}
    if base_lr is None:
        raise ValueError(f"layer_decay is {layer_decay}, a factor of base_lr, but base_lr is None; give both")
    backbone = getattr(model, "backbone", None)
    if not hasattr(backbone, "layer_of"):
        raise ValueError(
            f"SOLVER.LAYER_DECAY is {layer_decay}, but {type(backbone).__name__} does not tell the order of its layers "
            "(see LayeredBackbone in fastreid/modeling/backbones/build.py); use a transformer, or set it to 1"
        )
    places = {name: backbone.layer_of(name) for name, _ in backbone.named_parameters()}
    return {
        f"backbone.{name}": (layer, backbone.num_layers - layer)
        for name, layer in places.items()
        if layer < backbone.num_layers
    }


def _is_of_a_head(name: str) -> bool:
    part = name.partition(".")[0]
    return part == "heads" or part.endswith("_head")


def _given(**options: float | None) -> dict[str, float]:
    return {name: value for name, value in options.items() if value is not None}


def _trained_parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Yield ``(module, full name, parameter)`` of every parameter that needs a gradient, once."""
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield module, f"{prefix}.{own_name}" if prefix else own_name, parameter


def merge_param_groups(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put parameters with equal options into one group, so that an update takes a few large kernels and not many small.

    Args:
        groups: parameter groups; ``name`` and ``part`` do not count as options. They are not changed.

    Returns:
        New groups in the order in which their first parameters came, with a ``name`` that says their options, and a
        ``part`` that joins those of its parameters, if they have any.

    Example:
        >>> import torch
        >>> a, b, c = (nn.Parameter(torch.zeros(1)) for _ in range(3))
        >>> groups = [{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}, {"params": [c], "lr": 0.1}]
        >>> [(group["name"], len(group["params"])) for group in merge_param_groups(groups)]
        [('lr=0.1', 2), ('lr=0.2', 1)]
    """
    merged: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {}
    for group in groups:
        options = {key: value for key, value in group.items() if key not in ("params", "name", "part")}
        key = tuple(sorted(options.items()))
        if key not in merged:
            label = ", ".join(f"{option}={_short(value)}" for option, value in key)
            merged[key] = {"params": [], "name": label, **options}
        merged[key]["params"] += group["params"]
        if "part" in group and group["part"] not in merged[key].get("part", "").split("+"):
            merged[key]["part"] = "+".join([*filter(None, [merged[key].get("part")]), group["part"]])
    return list(merged.values())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
