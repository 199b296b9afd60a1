"""Look at a model's last feature maps while it embeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...modeling.backbones.build import Backbone

__all__ = ["map_modules", "maps_seen", "scale_to_one", "sum_of_maps"]


def map_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules of a model whose outputs are its last feature maps: its ``map_modules()``, or its backbone.

    Raises:
        TypeError: if it has neither.
    """
    if hasattr(model, "map_modules"):
        return tuple(model.map_modules())
    if not isinstance(getattr(model, "backbone", None), nn.Module):
        raise TypeError(
            f"{type(model).__name__} has no backbone, whose feature map could be looked at; give it a method "
            "map_modules() that returns the modules which make its last feature maps"
        )
    return (model.backbone,)


@contextmanager
def maps_seen(model: nn.Module, *, differentiable: bool = False) -> Iterator[list[Tensor]]:
    """Collect the last feature maps of a model that is called once in the context; afterwards it is as before.

    Args:
        model: without a wrapper.
        differentiable: the maps are leaves that require a gradient, so that what follows them in the model has a graph
            and what is before them has none.

    Yields:
        A list, filled when the model has been called: ``(N, C, h, w)`` of each module of :func:`map_modules`.

    Raises:
        TypeError: if the model has no such modules.
        ValueError: after the call, if one of them was not called exactly once, or returned no map.
    """
    modules = map_modules(model)
    seen: dict[int, list[Any]] = {place: [] for place in range(len(modules))}
    maps: list[Tensor] = []
    with ExitStack() as stack:
        for place, module in enumerate(modules):
            stack.callback(module.register_forward_hook(partial(_look, seen[place], differentiable)).remove)
        maps_of = partial(_checked, model, modules, seen)
        stack.callback(model.register_forward_hook(lambda *_: maps.extend(maps_of())).remove)
        yield maps


def _look(seen: list[Any], differentiable: bool, module: nn.Module, inputs: Any, output: Any) -> Any:
    """Keep a module's output; if it is to be differentiable, hand on a leaf in its place."""
    if not differentiable or not isinstance(output, Tensor):
        seen.append(output)
        return None
    leaf = output.detach().requires_grad_()
    seen.append(leaf)
    return leaf.clone()  # a layer behind it may work in place, which a leaf would refuse


def _checked(model: nn.Module, modules: Sequence[nn.Module], seen: dict[int, list[Any]]) -> list[Tensor]:
    name = type(model).__name__
    for module, outputs in zip(modules, seen.values(), strict=True):
        if len(outputs) != 1:
            raise ValueError(
                f"a feature map of {name} was made {len(outputs)} times in one call; activation maps need models that "
                "call their backbone, or each of their map_modules(), once"
            )
        if not isinstance(outputs[0], Tensor) or outputs[0].ndim != 4:
            shape = tuple(outputs[0].shape) if isinstance(outputs[0], Tensor) else type(outputs[0]).__name__
            raise ValueError(
                f"{name}: an activation map needs a feature map (N, C, h, w), but the backbone gives {shape}"
            )
        if outputs[0].shape[2:] == (1, 1) or _has_no_places(module):
            remedy = (
                "take the method rollout"
                if hasattr(module, "attention_maps")
                else f"there are no activation maps of such a {type(module).__name__}"
            )
            raise ValueError(
                f"{name}: the feature map is {tuple(outputs[0].shape)}, vectors of the whole image, which say nothing "
                f"of places; {remedy}"
            )
    return [outputs[0] for outputs in seen.values()]


def _has_no_places(module: nn.Module) -> bool:
    """Tell whether a backbone says of its output that it is no map: rows and columns may be tokens."""
    return isinstance(module, Backbone) and module.output_shape().stride is None


def sum_of_maps(maps: Sequence[Tensor]) -> Tensor:
    """Add maps ``(N, h_i, w_i)``, each brought to the most rows and columns among them; bilinear."""
    size = tuple(max(one.shape[axis] for one in maps) for axis in (1, 2))
    same = [
        one if one.shape[1:] == size else F.interpolate(one[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        for one in maps
    ]
    return torch.stack(same).sum(dim=0)  # (N, h, w)


def scale_to_one(maps: Tensor) -> Tensor:
    """Divide each of N maps ``(N, h, w)``, at least 0, by its maximum; a map of zeros stays one.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    if not maps.isfinite().all():
        bad = int((~maps.isfinite().flatten(1).all(dim=1)).sum())
        raise ValueError(
            f"{bad} of {len(maps)} activation maps have values that are NaN or infinite; check MODEL.WEIGHTS, and the "
            "images"
        )
    highest = maps.amax(dim=(1, 2), keepdim=True)
    return maps / torch.where(highest > 0, highest, 1)
