"""Networks of timm: made by name with the arguments that they take, looked at, and cut behind the feature map."""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "Features",
    "create_network",
    "cut_what_is_unused",
    "features_of",
    "filter_of",
    "import_timm",
    "layers_of",
    "map_of_tokens",
    "use_last_stride_of_one",
]

logger = logging.getLogger(__name__)

# What the library gives to timm.create_model itself, or what would make something else than a backbone.
_OWN_ARGUMENTS = ("model_name", "pretrained", "num_classes", "in_chans", "features_only", "checkpoint_path")
# Arguments that are tried, and left out for a network that does not take them.
_UNKNOWN_ARGUMENTS = re.compile(r"unexpected keyword argument(.*)", re.DOTALL)
# What modules of timm may call the function that turns published weights into those of a network.
_FILTERS = ("checkpoint_filter_fn", "pretrained_filter_fn", "_filter_fn")


def import_timm() -> ModuleType:
    """Return the package timm.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ImportError(
            "MODEL.BACKBONE.NAME build_timm_backbone needs the package timm: pip install 'fastreid[timm]'"
        ) from error


def create_network(
    name: str, *, tried: Mapping[str, Any], arguments: Mapping[str, Any], pretrained: bool = False
) -> tuple[nn.Module, set[str]]:
    """Make a network of timm without classifier.

    Args:
        name: as timm knows it, with or without the tag of weights behind a dot.
        tried: arguments that are left out where the network does not take them, or ``arguments`` has them.
        arguments: further ones, of the user.
        pretrained: load the weights that timm downloads.

    Returns:
        The network, and the names in ``tried`` that it does not take.

    Raises:
        KeyError: if timm has no such network, or nobody published weights of it; the message has near names.
        ValueError: if it does not take the ``arguments``.
        RuntimeError: if the weights cannot be had.
    """
    timm = import_timm()
    _check_name(timm, name, pretrained)
    for key in _OWN_ARGUMENTS:
        if key in arguments:
            raise ValueError(f"MODEL.BACKBONE.TIMM_ARGS has {key!r}, but the library gives it itself; leave it out")
    tried = {key: value for key, value in tried.items() if key not in arguments}
    refused: set[str] = set()
    while True:
        taken = {key: value for key, value in tried.items() if key not in refused}
        try:
            net = timm.create_model(name, num_classes=0, **taken, **arguments)
            break
        except Exception as error:  # of any class: each network checks its arguments in its own way
            blamed = _blamed_arguments(error, taken)
            if not blamed:
                given = f"MODEL.BACKBONE.TIMM_ARGS {dict(arguments)} and " if arguments else ""
                raise ValueError(f"timm cannot make {name} with {given}{taken}: {error or repr(error)}") from error
            refused |= blamed
    if pretrained:
        try:
            net = timm.create_model(name, pretrained=True, num_classes=0, **taken, **arguments)
        except Exception as error:  # network, disk and format all end here
            raise RuntimeError(
                f"timm cannot get its weights of {name}: {error}. Without a network, give a file in "
                "MODEL.BACKBONE.PRETRAIN_PATH, or set MODEL.BACKBONE.PRETRAIN False to start from random weights"
            ) from error
    return net, refused


def _blamed_arguments(error: Exception, taken: Mapping[str, Any]) -> set[str]:
    """Return which of the tried arguments an error is about."""
    unknown = _UNKNOWN_ARGUMENTS.search(str(error))
    if unknown:
        return taken.keys() & set(re.findall(r"'(\w+)'", unknown[1]))
    return taken.keys() & {"output_stride"}  # networks that know it, but only 32


def _check_name(timm: ModuleType, name: str, pretrained: bool) -> None:
    arch, _, tag = name.partition(".")
    known = timm.list_models()
    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, known, n=5, cutoff=0.5)
        hint = f"; near ones: {', '.join(near)}" if near else ""
        raise KeyError(
            f"MODEL.BACKBONE.DEPTH is {name!r}, but timm {timm.__version__} has no such network among its "
            f"{len(known)}{hint}. timm.list_models('*convnext*') lists them"
        )
    tagged = timm.list_models(f"{arch}.*", include_tags=True)
    if tag and name not in tagged:
        raise KeyError(
            f"MODEL.BACKBONE.DEPTH is {name!r}, but timm knows no weights {tag!r} of {arch}; "
            f"it knows {', '.join(tagged) or 'none'}"
        )
    if pretrained and not timm.models.is_model_pretrained(name):
        with_weights = timm.list_models(f"{arch}*", pretrained=True)[:5]
        near = f" Near ones with weights: {', '.join(with_weights)}." if with_weights else ""
        raise KeyError(
            f"MODEL.BACKBONE.PRETRAIN is True, but timm has no weights of {name}; give a file in "
            f"MODEL.BACKBONE.PRETRAIN_PATH, or set PRETRAIN False.{near}"
        )


@dataclass(frozen=True)
class Features:
    """What a network makes of images.

    Attributes:
        shape: of the feature map, ``(C, h, w)``.
        unused: names of parameters that it does not depend on.
    """

    shape: tuple[int, int, int]
    unused: tuple[str, ...]


def features_of(backbone: nn.Module, size: tuple[int, int]) -> Features:
    """Look at the feature map of a backbone in eval mode.

    Shapes are followed on the meta device, where nothing is computed. A network that does not run there runs where its
    weights are, with one image of zeros.

    Args:
        backbone: maps ``(N, 3, H, W)`` to ``(N, C, h, w)``; not changed.
        size: H and W.

    Raises:
        Exception: whatever the network raises for images of this size.
    """
    was_training = backbone.training
    backbone.eval()
    try:
        try:
            return _look(backbone, size, torch.device("meta"))
        except (RuntimeError, NotImplementedError):
            device = next(backbone.parameters()).device
            if device.type == "meta":
                raise
            return _look(backbone, size, device)
    finally:
        backbone.train(was_training)


def _look(backbone: nn.Module, size: tuple[int, int], device: torch.device) -> Features:
    weights = {key: value.detach().to(device).requires_grad_() for key, value in backbone.named_parameters()}
    buffers = {key: value.to(device) for key, value in backbone.named_buffers()}
    images = torch.zeros(1, 3, *size, device=device)
    with torch.inference_mode(False), torch.enable_grad():
        out = torch.func.functional_call(backbone, weights | buffers, (images,))  # (1, C, h, w)
        gradients = torch.autograd.grad(out.sum(), list(weights.values()), allow_unused=True)
    unused = tuple(key for key, gradient in zip(weights, gradients) if gradient is None)
    return Features(shape=tuple(out.shape[1:]), unused=unused)


def cut_what_is_unused(net: nn.Module, unused: Collection[str]) -> list[str]:
    """Take out, in place, the parts of a network that its feature map does not depend on, such as a classifier.

    Args:
        net: a part of it goes if all of its parameters are unused: a module of the network, or one of those in it.
        unused: names of parameters. Those of no such part do not learn from now on.

    Returns:
        The names of the parts.
    """
    gone: list[str] = []
    for name, module in _parts(net):
        names = [f"{name}.{key}" for key, _ in module.named_parameters()]
        if names and set(names) <= set(unused) and not any(name.startswith(f"{other}.") for other in gone):
            net.get_submodule(name.rpartition(".")[0]).register_module(name.rpartition(".")[2], nn.Identity())
            gone.append(name)
    for name, parameter in net.named_parameters():
        if name in unused:
            parameter.requires_grad_(False)
    return gone


def _parts(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules of a network, each followed by its own."""
    return [
        found
        for name, module in net.named_children()
        for found in ((name, module), *((f"{name}.{inner}", part) for inner, part in module.named_children()))
    ]


def use_last_stride_of_one(backbone: nn.Module, size: tuple[int, int]) -> bool:
    """Keep the resolution that the last stage halves, in place, if nothing but plain layers halve it.

    These are convolutions and poolings whose padding keeps the size once their stride is 1, so that every position
    stays where it was. Nothing is changed if there is anything else. Weights keep their shapes.

    Args:
        backbone: see :func:`features_of`.
        size: H and W of the images it is tried with.

    Returns:
        Whether the map is twice as high and wide now.
    """
    seen: list[tuple[nn.Module, torch.Size, torch.Size]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((module, inputs[0].shape[2:], output.shape[2:]))

    layers = [module for module in backbone.modules() if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        _, height, width = features_of(backbone, size).shape
    finally:
        for hook in hooks:
            hook.remove()
    halving = {layer for layer, before, after in seen if before != after and tuple(after) == (height, width)}
    if not halving or not all(map(_keeps_size_without_stride, halving)):
        return False
    strides = {layer: layer.stride for layer in halving}
    for layer in halving:
        layer.stride = (1, 1)
    try:
        if features_of(backbone, size).shape[1:] == (2 * height, 2 * width):
            return True
    except Exception as error:  # whatever does not fit the larger map: a shortcut, a table of positions
        logger.debug("A last stride of 1 does not fit: %s", error)
    for layer, stride in strides.items():
        layer.stride = stride
    return False


def _keeps_size_without_stride(layer: nn.Module) -> bool:
    if isinstance(layer.padding, str):
        return False
    kernel, padding, dilation = (
        value if isinstance(value, tuple) else (value, value)
        for value in (layer.kernel_size, layer.padding, getattr(layer, "dilation", 1))
    )
    return all(2 * p == d * (k - 1) for k, p, d in zip(kernel, padding, dilation))


def map_of_tokens(tokens: Tensor, net: nn.Module, size: tuple[int, int]) -> Tensor:
    """Lay the tokens of patches out as they lie in the image.

    Args:
        tokens: ``(N, T, C)``, in reading order.
        net: where they come from; one that can tell its grid does.
        size: H and W of the images.

    Returns:
        ``(N, C, h, w)`` with ``h w = T``.

    Raises:
        ValueError: if T is no number of square patches of such an image.
    """
    count, (height, width) = tokens.shape[1], size
    embed = getattr(net, "patch_embed", None)
    grid = embed.dynamic_feat_size(size) if hasattr(embed, "dynamic_feat_size") else (0, 0)
    if grid[0] * grid[1] != count:
        rows = max(1, round(math.sqrt(count * height / width)))
        grid = (rows, count // rows)
    if grid[0] * grid[1] != count:
        raise ValueError(f"{count} tokens are no grid of square patches of an image of {height} x {width} pixels")
    return tokens.transpose(1, 2).unflatten(2, grid)  # (N, C, h, w)


def filter_of(net: nn.Module, name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]] | None:
    """Return timm's function that makes published weights those of this network; ``None`` if it needs none."""
    module = importlib.import_module(import_timm().models.model_entrypoint(name).__module__)
    function = next((getattr(module, key) for key in _FILTERS if hasattr(module, key)), None)
    if function is None:
        return None
    takes_network = len(inspect.signature(function).parameters) > 1
    return (lambda state: function(state, net)) if takes_network else function


def layers_of(net: nn.Module) -> dict[str, int]:
    """Return the layer of each parameter, from 0 at the images on, as timm groups them.

    For a network that timm does not group, its modules are the layers, and those of a list in it.
    """
    names = [name for name, _ in net.named_parameters()]
    if hasattr(net, "group_matcher"):
        return import_timm().models.group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    keys = [re.match(r"[^.]+(\.\d+(?=\.))?", name)[0] for name in names]
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return {name: order[key] for name, key in zip(names, keys)}
