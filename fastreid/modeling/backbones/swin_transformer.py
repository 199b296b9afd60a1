"""Swin transformers: attention in windows that shift from block to block, on maps that halve from stage to stage."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode
from ...layers.drop_path import DropPath
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import layout_of, load_pretrained, warn_of_unread

__all__ = ["LAYOUTS", "SwinLayout", "SwinTransformer", "build_swin_backbone"]

PATCH = 4  # pixels
OTHER_REGION = -100.0  # added to the product of tokens that only the shift made neighbours


@dataclass(frozen=True)
class SwinLayout:
    """What tells the variants apart.

    Args:
        dim: channels of the first stage; each next one has twice as many.
        depths: blocks of each stage.
        heads: of the attention, by stage; they divide its channels.
        window: side of a window, in positions of the map.
        shift_lone: shift windows also along a side of the map that one window covers, as mmdetection's networks do,
            and so SOLIDER's.
    """

    dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    shift_lone: bool = False


LAYOUTS = {
    "tiny": SwinLayout(),
    "small": SwinLayout(depths=(2, 2, 18, 2)),
    "base": SwinLayout(dim=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
}
LAYOUTS |= {f"solider_{depth}": replace(layout, shift_lone=True) for depth, layout in LAYOUTS.items()}

# ImageNet weights by torchvision
PRETRAINED = {
    "tiny": "https://download.pytorch.org/models/swin_t-704ceda3.pth",
    "small": "https://download.pytorch.org/models/swin_s-5e29d889.pth",
    "base": "https://download.pytorch.org/models/swin_b-68c6b09e.pth",
}


def to_windows(x: Tensor, side: int) -> Tensor:
    """Cut ``(N, H, W, C)`` into ``(N, windows, side * side, C)``; ``side`` divides H and W."""
    grid = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # (N, h, side, w, side, C)
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def from_windows(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """Undo :func:`to_windows`: ``(N, windows, side * side, C)`` to ``(N, height, width, C)``."""
    grid = windows.unflatten(2, (side, side)).unflatten(1, (height // side, width // side))
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def shift_mask(height: int, width: int, side: int, shifts: tuple[int, int], device: torch.device) -> Tensor:
    """Return what keeps apart, inside a window, tokens from opposite borders of the map.

    Args:
        height: of the map, whole windows.
        width: likewise.
        side: of a window.
        shifts: up and left.
        device: of the result.

    Returns:
        ``(windows, 1, side * side, side * side)`` float32, 0 or :data:`OTHER_REGION`.
    """

    def regions(length: int, shift: int) -> Tensor:
        places = torch.arange(length, device=device)
        return (places >= length - side).long() + (places >= length - shift).long()  # 0, 1 or 2

    region = 3 * regions(height, shifts[0])[:, None] + regions(width, shifts[1])  # (H, W)
    region = to_windows(region[None, :, :, None], side)[0, :, :, 0]  # (windows, side * side)
    return (region[:, None, :, None] != region[:, None, None, :]) * OTHER_REGION


class WindowAttention(nn.Module):
    """Self-attention among the tokens of a window, with a learned weight for each offset between two of them.

    The map is padded with zeros to whole windows, and then shifted.

    Args:
        dim: channels.
        heads: see :class:`SwinLayout`.
        window: likewise.
        shift: positions up and left by which the map is moved round before it is cut.
        shift_lone: see :class:`SwinLayout`.
        attention_drop: share of the attention weights that are dropped in training.
        drop: likewise of the output.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        window: int,
        shift: int,
        shift_lone: bool = False,
        attention_drop: float = 0.0,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shift, self.attention_drop = heads, window, shift, attention_drop
        self.shift_lone = shift_lone
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(drop)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        places = torch.cartesian_prod(torch.arange(window), torch.arange(window))  # (T, 2): row, column
        offsets = places[:, None] - places[None] + window - 1  # (T, T, 2), from 0
        index = offsets[..., 0] * (2 * window - 1) + offsets[..., 1]
        self.register_buffer("offset_index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape."""
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        padded = (x.shape[1], x.shape[2])
        bias = self.relative_position_bias_table[self.offset_index].permute(2, 0, 1)  # (heads, T, T)
        shifts = tuple(self.shift if self.shift_lone or side > self.window else 0 for side in padded)
        if any(shifts):
            x = torch.roll(x, (-shifts[0], -shifts[1]), dims=(1, 2))
            mask = shift_mask(*padded, self.window, shifts, x.device)
            bias = bias + mask.to(bias.dtype)  # (windows, heads, T, T)
        windows = to_windows(x, self.window)  # (N, windows, T, C)
        query, key, value = self.qkv(windows).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)
        dropped = self.attention_drop if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropped)
        out = self.proj_drop(self.proj(out.transpose(2, 3).flatten(3)))  # (N, windows, T, C)
        x = from_windows(out, self.window, *padded)
        if any(shifts):
            x = torch.roll(x, shifts, dims=(1, 2))
        return x.narrow(1, 0, height).narrow(2, 0, width)  # torch 2.5 does not export [:] of a batch of any size


class Mlp(nn.Module):
    """Two linear layers with a GELU between them; the inner one is four times as wide."""

    def __init__(self, dim: int, drop: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C)`` to the same shape."""
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class SwinBlock(nn.Module):
    """Attention in windows, then a small network for each position; both behind a norm and beside a shortcut."""

    def __init__(self, dim: int, attention: WindowAttention, *, drop_path: float, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Downsample(nn.Module):
    """Merge each 2 x 2 positions into one with twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to ``(N, ceil(H / 2), ceil(W / 2), 2 C)``."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        grid = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (N, h, 2, w, 2, C)
        merged = grid.permute(0, 1, 3, 4, 2, 5).flatten(3)  # (N, h, w, 4 C): column by column
        return self.reduction(self.norm(merged))


class Stage(nn.Module):
    """Blocks of one width, behind a downsampling in all stages but the first."""

    def __init__(self, downsample: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, H, W, C)`` to the map of this stage."""
        return self.blocks(self.downsample(x))


class PatchEmbed(nn.Module):
    """Turn square patches into positions of a map."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, stride=PATCH)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, ceil(H / 4), ceil(W / 4), C)``."""
        images = F.pad(images, (0, -images.shape[3] % PATCH, 0, -images.shape[2] % PATCH))
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class SwinTransformer(Backbone):
    """A Swin transformer without its classifier; the map has 1/32 of the input's height and width.

    Parameter names are those of timm. Images may have any size. Every second block shifts its windows by half a window,
    and maps are padded before they are shifted, as in torchvision and mmdetection. (timm shifts first.) Along a side
    that one window covers, only mmdetection's networks shift it: ``layout.shift_lone``.

    Source: Liu et al., "Swin Transformer", ICCV 2021, arXiv:2103.14030.

    Args:
        layout: which variant.
        drop_path: of the last block; it rises linearly from 0 at the first.
        attention_drop: see :class:`WindowAttention`.
        drop: share of activations that are dropped.
    """

    def __init__(
        self, *, layout: SwinLayout, drop_path: float = 0.0, attention_drop: float = 0.0, drop: float = 0.0
    ) -> None:
        super().__init__()
        self.depths, self.shift_lone = layout.depths, layout.shift_lone
        self.patch_embed = PatchEmbed(layout.dim)
        self.pos_drop = nn.Dropout(drop)
        rates = iter(torch.linspace(0, drop_path, sum(layout.depths), device="cpu").tolist())
        options = {"shift_lone": layout.shift_lone, "attention_drop": attention_drop, "drop": drop}
        attention = partial(WindowAttention, window=layout.window, **options)
        stages, dim = [], layout.dim
        for depth, heads in zip(layout.depths, layout.heads, strict=True):
            downsample: nn.Module = Downsample(dim) if stages else nn.Identity()
            dim = 2 * dim if stages else dim
            shifts = [layout.window // 2 * (number % 2) for number in range(depth)]
            blocks: list[nn.Module] = [
                SwinBlock(dim, attention(dim, heads, shift=shift), drop_path=next(rates), drop=drop) for shift in shifts
            ]
            stages.append(Stage(downsample, blocks))
        self.layers = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(dim)
        self._shape = FeatureShape(channels=dim, stride=PATCH * 2 ** (len(stages) - 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw linear layers and offsets from a normal distribution cut off at two deviations of 0.02."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)

    @property
    def num_layers(self) -> int:
        """Layers that :meth:`layer_of` tells apart: the patches, and each block."""
        return 1 + sum(self.depths)

    def layer_of(self, name: str) -> int:
        """Return how deep a parameter lies: 0 for the patches, then the blocks, and ``num_layers`` behind them."""
        parts = name.split(".")
        if parts[0] != "layers":
            return 0 if parts[0] == "patch_embed" else self.num_layers
        within = int(parts[3]) if parts[2] == "blocks" else 0  # a downsampling goes with the block behind it
        return 1 + sum(self.depths[: int(parts[1])]) + within

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map."""
        return self._shape

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, ceil(H / 32), ceil(W / 32))``."""
        x = self.layers(self.pos_drop(self.patch_embed(images)))
        return self.norm(x).permute(0, 3, 1, 2).contiguous()

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Rename the tensors of its authors' files and timm's older ones, in place.

        There a downsampling ends a stage, here it begins the next. Tables that are computed are taken out.
        """
        computed = re.compile(
            re.escape(prefix) + r"layers\.\d+\.blocks\.\d+\.(attn\.relative_position_index|attn_mask)"
        )
        for key in [key for key in state_dict if computed.fullmatch(key)]:
            del state_dict[key]
        downsampling = re.compile(re.escape(prefix) + r"layers\.(\d+)\.downsample\.(.+)")
        found = {key: match for key in state_dict if (match := downsampling.fullmatch(key))}
        if not any(match[1] == "0" for match in found.values()):
            return
        moved = {f"{prefix}layers.{int(m[1]) + 1}.downsample.{m[2]}": state_dict.pop(key) for key, m in found.items()}
        state_dict.update(moved)


@BACKBONE_REGISTRY.register()
def build_swin_backbone(cfg: CfgNode) -> SwinTransformer:
    """Build a Swin transformer with windows of 7, and load trained weights if ``MODEL.BACKBONE.PRETRAIN``.

    ``DEPTH`` is ``tiny``, ``small`` or ``base``, or one of these behind ``solider_``. ``DROP_PATH_RATIO``,
    ``DROP_RATIO``, ``ATT_DROP_RATE``, ``PRETRAIN`` and ``PRETRAIN_PATH`` of ``MODEL.BACKBONE`` are read; LAST_STRIDE
    means nothing to it.

    Raises:
        KeyError: if there is no such depth.
    """
    node = cfg.MODEL.BACKBONE
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = SwinTransformer(
        layout=layout_of(node, LAYOUTS),
        drop_path=node.DROP_PATH_RATIO,
        attention_drop=node.ATT_DROP_RATE,
        drop=node.DROP_RATIO,
    )
    load_pretrained(net, node, PRETRAINED, node.DEPTH, may_ignore=("head.*",))
    return net
