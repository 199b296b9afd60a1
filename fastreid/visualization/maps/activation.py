"""Where in an image an embedding comes from: channel energy, and attention rollout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...evaluation import inference_context
from ...modeling.backbones import AttentionBackbone
from ...utils.registry import Registry
from ...utils.weights import unwrap_model
from .feature_maps import maps_seen, scale_to_one, sum_of_maps

__all__ = ["ACTIVATION_REGISTRY", "activation_maps", "attention_rollout", "channel_energy", "energy", "rollout"]

ACTIVATION_REGISTRY = Registry("activation map")
"""Ways to see where a model looks in an image, by the names that :func:`activation_maps` takes.

Functions ``(model, images) -> maps``: a model in eval mode, without gradients and without a wrapper; images
``(N, 3, H, W)``, RGB, 0..255, as it takes them; maps ``(N, h, w)`` float in [0, 1], each with its maximum at 1.
"""


def channel_energy(feature_map: Tensor) -> Tensor:
    """Return the sum of squares over the channels at each place, divided by the largest of the image.

    Args:
        feature_map: ``(N, C, h, w)`` float.

    Returns:
        ``(N, h, w)`` float32 in [0, 1]: 1 at the strongest place of each image. A map that is the same everywhere
        becomes 1 everywhere, and one of zeros stays 0.

    Raises:
        ValueError: if the shape is another one, or a value is NaN or infinite.

    Source: Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928, activation-based
    attention with p = 2.
    """
    return scale_to_one(_energy(feature_map))


def _energy(feature_map: Tensor) -> Tensor:
    if feature_map.ndim != 4:
        raise ValueError(f"feature_map must be (N, C, h, w), got {tuple(feature_map.shape)}")
    return feature_map.float().square().sum(dim=1)  # (N, h, w)


def attention_rollout(attentions: Sequence[Tensor], grid: tuple[int, int], *, prefix_tokens: int = 1) -> Tensor:
    """Follow attention through all layers back to the tokens of the image.

    The attention of a layer is the mean over its heads; half of it is replaced by the identity, for the residual
    connection; the product of all layers tells what reaches a token of the last layer from each of the first. Of these
    rows the class token's is taken; without a prefix token it is the mean over those of the image.

    Args:
        attentions: ``(N, heads, T, T)`` of each layer, first to last, at least 0; ``T = prefix_tokens + h w``.
        grid: rows h and columns w of tokens.
        prefix_tokens: tokens before those of the image; the first one is the class token. 0: there is none.

    Returns:
        ``(N, h, w)`` float32 in [0, 1], the maximum of each image at 1.

    Raises:
        ValueError: if there is no layer, or the shapes do not fit.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, arXiv:2005.00928, "Attention
    rollout".
    """
    tokens = prefix_tokens + grid[0] * grid[1]
    if not attentions:
        raise ValueError("attention_rollout needs the attention of at least one layer, got none")
    if prefix_tokens < 0:
        raise ValueError(f"prefix_tokens must be >= 0, got {prefix_tokens}")
    flow = None
    for number, attention in enumerate(attentions):
        if attention.ndim != 4 or attention.shape[2:] != (tokens, tokens):
            raise ValueError(
                f"the attention of layer {number} is {tuple(attention.shape)}, but a grid of {grid[0]} x {grid[1]} and "
                f"{prefix_tokens} prefix token(s) need (N, heads, {tokens}, {tokens})"
            )
        mixed = attention.float().mean(dim=1)  # (N, T, T)
        mixed = mixed / mixed.sum(dim=2, keepdim=True) + torch.eye(tokens, device=mixed.device)
        flow = mixed / 2 if flow is None else mixed @ flow / 2
    row = flow[:, 0] if prefix_tokens else flow.mean(dim=1)  # (N, T)
    return scale_to_one(row[:, prefix_tokens:].reshape(-1, *grid))


@ACTIVATION_REGISTRY.register()
def energy(model: nn.Module, images: Tensor) -> Tensor:
    """Return the :func:`channel_energy` of the last feature map; of several, such as MGN's, of all their channels."""
    with maps_seen(model) as maps:
        model(images)
    return scale_to_one(sum_of_maps([_energy(one) for one in maps]))


@ACTIVATION_REGISTRY.register()
def rollout(model: nn.Module, images: Tensor) -> Tensor:
    """Return the :func:`attention_rollout` of a backbone that attends.

    Raises:
        TypeError: if the model has no such backbone.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, AttentionBackbone):
        raise TypeError(
            f"rollout needs a backbone with attention_maps(), which {type(backbone).__name__} has not; use energy"
        )
    attentions, (h, w) = backbone.attention_maps(model.preprocess_image(images))
    prefix = attentions[0].shape[-1] - h * w if attentions else 1
    return attention_rollout(attentions, (h, w), prefix_tokens=prefix)


@torch.no_grad()
def activation_maps(model: nn.Module, images: Tensor, *, method: str = "auto") -> Tensor:
    """Return where a model looks in each image of a batch; the model stays as it is.

    Args:
        model: any that embeds; in any mode.
        images: ``(N, 3, H, W)`` uint8 or float, RGB, 0..255, of ``INPUT.SIZE_TEST``.
        method: a name in :data:`ACTIVATION_REGISTRY`; ``auto``: rollout where the backbone attends, else energy.

    Returns:
        ``(N, h, w)`` float32 in [0, 1] on the CPU: as many rows and columns as the feature map, or as tokens.

    Raises:
        KeyError: if there is no such method.
        TypeError: if it does not suit the model.
        ValueError: if the model has no maps that it could show, or they are not finite.
    """
    model = unwrap_model(model)
    if method == "auto":
        method = "rollout" if isinstance(getattr(model, "backbone", None), AttentionBackbone) else "energy"
    show = ACTIVATION_REGISTRY.get(method)
    with inference_context(model):
        return show(model, images).float().cpu()
