"""Look at the feature map of a network without running it, and make the network end there."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Features", "cut_what_is_unused", "features_of", "map_of_tokens", "use_last_stride_of_one"]

logger = logging.getLogger(__name__)


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
        # not tied: of a module under two names, torch would put the replaced weights back
        out = torch.func.functional_call(backbone, weights | buffers, (images,), tie_weights=False)  # (1, C, h, w)
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
        (value, value) if isinstance(value, int) else value
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
