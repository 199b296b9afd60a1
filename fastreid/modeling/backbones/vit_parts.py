"""What vision transformers are put together from: patches, attention, blocks, and the numbers that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.batch_norm import IBN, get_norm
from ...layers.drop_path import DropPath
from .common import Norm, draw_convolutions

__all__ = ["PATCH", "Attention", "Block", "Mlp", "PatchEmbed", "QuickGELU", "ViTLayout"]

PATCH = 16
"""Side of a patch, in pixels."""
STEM_WIDTH = 64  # channels


@dataclass(frozen=True)
class ViTLayout:
    """What tells the variants apart.

    Args:
        dim: width of a token.
        depth: blocks.
        heads: of the attention; ``dim`` is a multiple of it.
        mlp_ratio: width of the hidden layer in a block, in units of ``dim``.
        qkv_bias: queries, keys and values have a bias.
        scale: of the products of queries and keys; ``None``: one over the root of a head's width.
        eps: of the norms.
        clip: CLIP's ways: a norm before the first block, ``x sigmoid(1.702 x)`` in place of GELU, patches without bias,
            and a camera is added to the class token alone.
        projection: width of CLIP's projection of the class token, which comes behind the token itself; 0: none.
    """

    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    scale: float | None = None
    eps: float = 1e-6
    clip: bool = False
    projection: int = 0


class Attention(nn.Module):
    """Self-attention of several heads.

    Args:
        layout: of the network.
        attention_drop: share of the attention weights that are dropped in training.
        drop: likewise of the output.
    """

    def __init__(self, layout: ViTLayout, *, attention_drop: float, drop: float) -> None:
        super().__init__()
        self.heads = layout.heads
        self.scale = (layout.dim // layout.heads) ** -0.5 if layout.scale is None else layout.scale
        self.attention_drop = attention_drop
        self.qkv = nn.Linear(layout.dim, 3 * layout.dim, bias=layout.qkv_bias)
        self.proj = nn.Linear(layout.dim, layout.dim)
        self.proj_drop = nn.Dropout(drop)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values ``(N, heads, T, D / heads)`` of tokens ``(N, T, D)``."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(N, T, D)`` to the same shape."""
        dropped = self.attention_drop if self.training else 0.0
        out = F.scaled_dot_product_attention(*self._split(x), dropout_p=dropped, scale=self.scale)
        return self.proj_drop(self.proj(out.transpose(1, 2).flatten(2)))  # (N, T, D)

    def weights(self, x: Tensor) -> Tensor:
        """Return how much each token looks at each other: ``(N, heads, T, T)``, rows that sum to 1."""
        query, key, _ = self._split(x)
        return (query @ key.transpose(-2, -1) * self.scale).softmax(dim=-1)


class QuickGELU(nn.Module):
    """CLIP's approximation of a GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x sigmoid(1.702 x)``."""
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, dim: int, hidden: int, drop: float, act: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = act
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, T, D)`` to the same shape."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class Block(nn.Module):
    """Attention, then a small network for each token; both behind a norm and beside a shortcut.

    Args:
        layout: of the network.
        drop_path: probability that an image skips the attention, and likewise the small network, in training.
        attention_drop: see :class:`Attention`.
        drop: share of activations that are dropped.
    """

    def __init__(self, layout: ViTLayout, *, drop_path: float, attention_drop: float, drop: float) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, layout.dim, eps=layout.eps)
        self.norm1 = norm()
        self.attn = Attention(layout, attention_drop=attention_drop, drop=drop)
        self.drop_path = DropPath(drop_path)
        self.norm2 = norm()
        act = QuickGELU() if layout.clip else nn.GELU()
        self.mlp = Mlp(layout.dim, int(layout.dim * layout.mlp_ratio), drop, act)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(N, T, D)`` to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Turn square patches into tokens; a stride below the patch makes neighbours overlap.

    With a stem three convolutions at half resolution come first, and let a patch know a little of its neighbours.

    Source: the stem: Luo et al., "Self-Supervised Pre-Training for Transformer-Based Person Re-Identification",
    arXiv:2111.12084, "IBN-based convolution stem".

    Args:
        dim: width of a token.
        stride: of the patches, in pixels, down and across; with a stem even numbers.
        bias: the patches have one.
        stem_norm: the batch norm of the stem, see :func:`~fastreid.layers.get_norm`; ``None``: no stem.
    """

    def __init__(self, dim: int, stride: Sequence[int], *, bias: bool = True, stem_norm: Norm | None = None) -> None:
        super().__init__()
        channels, reduction = (3, 1) if stem_norm is None else (STEM_WIDTH, 2)
        self.conv = nn.Identity() if stem_norm is None else _stem(stem_norm)
        steps = tuple(step // reduction for step in stride)
        self.proj = nn.Conv2d(channels, dim, PATCH // reduction, stride=steps, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, D, h, w)``."""
        return self.proj(self.conv(images))


def _stem(norm: Norm) -> nn.Sequential:
    """Return the stem: ``(N, 3, H, W)`` to ``(N, STEM_WIDTH, H / 2, W / 2)``."""
    width = STEM_WIDTH
    stem = nn.Sequential(
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        IBN(width, norm),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        IBN(width, norm),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        get_norm(norm, width),
        nn.ReLU(inplace=True),
    )
    draw_convolutions(stem)
    return stem
