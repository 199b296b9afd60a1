"""Networks of timm: made by name with the arguments that they take, and how their weights and layers are named."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from .vision_transformer import grid_of

__all__ = [
    "create_network",
    "filter_of",
    "import_timm",
    "layers_of",
    "resize_positions",
]

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
                given = [f"MODEL.BACKBONE.TIMM_ARGS {dict(arguments)}"] if arguments else []
                given += [str(taken)] if taken else []
                how = " with " + " and ".join(given) if given else ""
                raise ValueError(f"timm cannot make {name}{how}: {error or repr(error)}") from error
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
    if "output_stride" in taken:  # networks that know it, but only 32
        return {"output_stride"}
    return taken.keys() & {"img_size", "dynamic_img_size"}  # networks that know only squares for it


def _check_name(timm: ModuleType, name: str, pretrained: bool) -> None:
    arch, _, tag = name.partition(".")
    known = timm.list_models()
    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, known, n=5, cutoff=0.5)
        hint = f"; near ones: {', '.join(near)}" if near else ""
        raise KeyError(
            f"MODEL.BACKBONE.DEPTH is {name!r}, but timm {timm.__version__} has no such network among its "
            f"{len(known)}{hint}. timm.list_models() lists them"
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


def filter_of(net: nn.Module, name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]] | None:
    """Return timm's function that makes published weights those of this network; ``None`` if it needs none."""
    module = importlib.import_module(import_timm().models.model_entrypoint(name).__module__)
    function = next((getattr(module, key) for key in _FILTERS if hasattr(module, key)), None)
    if function is None:
        return None
    takes_network = len(inspect.signature(function).parameters) > 1
    return (lambda state: function(state, net)) if takes_network else function


def resize_positions(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Return weights whose position embedding fits the network, where theirs was made for images of another size.

    timm's own functions do that only for embeddings of square images. Everything else stays.

    Args:
        state: by timm's names.
        net: the network of timm that they are for.
    """
    stored, own = state.get("pos_embed"), getattr(net, "pos_embed", None)
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    if stored is None or grid is None or not isinstance(own, Tensor) or stored.ndim != 3 or own.ndim != 3:
        return dict(state)
    extra = own.shape[1] - grid[0] * grid[1]  # tokens that are no patches
    count = stored.shape[1] - extra
    if stored.shape[1] == own.shape[1] or stored.shape[2] != own.shape[2] or extra < 0 or count < 1:
        return dict(state)
    resized = import_timm().layers.resample_abs_pos_embed(
        stored, new_size=list(grid), old_size=list(grid_of(count, grid)), num_prefix_tokens=extra
    )
    return {**state, "pos_embed": resized}


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
