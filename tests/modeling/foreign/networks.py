"""Small networks of other people, in their names, written from their papers; and models of ours to load them into."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastreid.config import CfgNode
from fastreid.modeling import build_model
from fastreid.modeling.backbones import swin_transformer, vision_transformer

from ..reference import fill_by_name

DIM, DEPTH, HEADS, CLASSES = 24, 3, 3, 5


class Attention(nn.Module):
    """Attention with timm's names, as torch computes it."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)  # (T, N, D)
        weights = (self.qkv.weight, self.qkv.bias, None, None, False, 0.0, self.proj.weight, self.proj.bias)
        out, _ = F.multi_head_attention_forward(x, x, x, x.shape[2], self.heads, *weights, need_weights=False)
        return out.transpose(0, 1)


class Block(nn.Module):
    """A transformer block with timm's names."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim, 1e-6), Attention(dim, heads), nn.LayerNorm(dim, 1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 2 * dim), "fc2": nn.Linear(2 * dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class IBN(nn.Module):
    """Half of 64 channels with instance norm, half with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.IN, self.BN = nn.InstanceNorm2d(32, affine=True), nn.BatchNorm2d(32)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.IN(x[:, :32]), self.BN(x[:, 32:])], dim=1)


class ViT(nn.Module):
    """A vision transformer with timm's names: TransReID's ``base``, and DINO's ``backbone``."""

    def __init__(
        self, *, grid: tuple[int, int] = (4, 2), cameras: int = 0, weight: float = 3.0, stem: bool = False
    ) -> None:
        super().__init__()
        self.weight = weight
        self.cls_token = nn.Parameter(torch.zeros(1, 1, DIM))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], DIM))
        if cameras:
            self.sie_embed = nn.Parameter(torch.zeros(cameras, 1, DIM))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(64, DIM, 8, 8) if stem else nn.Conv2d(3, DIM, 16, 16)})
        if stem:
            convolutions = (
                nn.Conv2d(3, 64, 7, 2, 3, bias=False),
                *(nn.Conv2d(64, 64, 3, 1, 1, bias=False) for _ in "12"),
            )
            norms = (IBN(), IBN(), nn.BatchNorm2d(64))
            layers = [layer for pair in zip(convolutions, norms) for layer in (*pair, nn.ReLU())]
            self.patch_embed["conv"] = nn.Sequential(*layers)
        self.blocks = nn.ModuleList(Block(DIM, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(DIM, 1e-6)

    def before_the_last_block(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        if "conv" in self.patch_embed:
            images = self.patch_embed["conv"](images)
        patches = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.repeat(len(images), 1, 1), patches], dim=1) + self.pos_embed
        if cameras is not None:
            x = x + self.weight * self.sie_embed[cameras]
        for block in self.blocks[:-1]:
            x = block(x)
        return x

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        return self.norm(self.blocks[-1](self.before_the_last_block(images, cameras)))[:, 0]


class TransReID(nn.Module):
    """TransReID with one neck; embeds behind it."""

    def __init__(self, *, reduced: int = 0, **options) -> None:
        super().__init__()
        self.base = ViT(**options)
        self.base.fc = nn.Linear(DIM, 10)  # it has one, and does not use it
        if reduced:
            self.fcneck = nn.Linear(DIM, reduced, bias=False)
        self.bottleneck = nn.BatchNorm1d(reduced or DIM)
        self.classifier = nn.Linear(reduced or DIM, CLASSES, bias=False)

    def before_the_neck(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        features = self.base(images, cameras)
        return self.fcneck(features) if hasattr(self, "fcneck") else features

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        return self.bottleneck(self.before_the_neck(images, cameras))


class TransReIDJigsaw(nn.Module):
    """TransReID with jigsaw patches: five class tokens behind five necks, the local ones divided by 4."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.base = ViT(**options)
        self.b1 = nn.Sequential(copy.deepcopy(self.base.blocks[-1]), copy.deepcopy(self.base.norm))
        self.b2 = nn.Sequential(copy.deepcopy(self.base.blocks[-1]), copy.deepcopy(self.base.norm))
        for part in ("", "_1", "_2", "_3", "_4"):
            self.add_module(f"bottleneck{part}", nn.BatchNorm1d(DIM))
            self.add_module(f"classifier{part}", nn.Linear(DIM, CLASSES, bias=False))

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        x = self.base.before_the_last_block(images, cameras)
        found = [self.bottleneck(self.b1(x)[:, 0])]
        order = list(range(5, x.shape[1])) + list(range(1, 5))  # the first four patches go to the end
        half = len(order) // 2
        order = [order[place + part * half] for place in range(half) for part in range(2)]  # deal from two halves
        for part in range(4):
            seen = order[part * (len(order) // 4) : (part + 1) * (len(order) // 4)]
            token = self.b2(x[:, [0, *seen]])[:, 0]
            found.append(getattr(self, f"bottleneck_{part + 1}")(token) / 4)
        return torch.cat(found, dim=1)


class CLIPBlock(nn.Module):
    """A block of CLIP, in its names."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.ln_1 = nn.MultiheadAttention(DIM, HEADS), nn.LayerNorm(DIM)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(DIM, 4 * DIM), "c_proj": nn.Linear(4 * DIM, DIM)})
        self.ln_2 = nn.LayerNorm(DIM)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        hidden = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](hidden * torch.sigmoid(1.702 * hidden))


class CLIPTower(nn.Module):
    """CLIP's vision transformer: class token, and its projection to 16 numbers."""

    def __init__(self, grid: tuple[int, int] = (4, 2)) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(DIM))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + grid[0] * grid[1], DIM))
        self.proj = nn.Parameter(torch.zeros(DIM, 16))
        self.conv1 = nn.Conv2d(3, DIM, 16, 16, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*(CLIPBlock() for _ in range(DEPTH)))})

    def forward(self, images: Tensor, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        token = self.class_embedding.repeat(len(images), 1)
        token = token if added is None else token + added
        x = self.ln_pre(torch.cat([token[:, None], patches], dim=1) + self.positional_embedding)
        x = self.transformer["resblocks"](x.transpose(0, 1)).transpose(0, 1)
        token = self.ln_post(x)[:, 0]
        return token, token @ self.proj


class CLIPReID(nn.Module):
    """CLIP-ReID: both outputs of the tower behind a neck each, and a text side that embeds no image."""

    def __init__(self, cameras: int = 0) -> None:
        super().__init__()
        self.image_encoder = CLIPTower()
        if cameras:
            self.cv_embed = nn.Parameter(torch.zeros(cameras, DIM))
        self.bottleneck, self.bottleneck_proj = nn.BatchNorm1d(DIM), nn.BatchNorm1d(16)
        self.classifier = nn.Linear(DIM, CLASSES, bias=False)
        self.classifier_proj = nn.Linear(16, CLASSES, bias=False)
        self.text_encoder = nn.ModuleDict({"ln_final": nn.LayerNorm(16)})
        self.prompt_learner = nn.ParameterDict({"cls_ctx": torch.zeros(CLASSES, 4, 16)})

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        added = None if cameras is None else 3.0 * self.cv_embed[cameras]
        token, projected = self.image_encoder(images, added)
        return torch.cat([self.bottleneck(token), self.bottleneck_proj(projected)], dim=1)


class MMBlock(nn.Module):
    """A block of mmdetection's Swin, one window and one head at a time."""

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        msa = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        msa.register_parameter("relative_position_bias_table", nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads)))
        msa.register_buffer("relative_position_index", torch.zeros(window**2, window**2, dtype=torch.long))
        self.attn = nn.ModuleDict({"w_msa": msa})
        first = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU())
        self.ffn = nn.ModuleDict({"layers": nn.Sequential(first, nn.Linear(4 * dim, dim))})

    def attend(self, tokens: Tensor, places: list[tuple[int, int]], regions: list[tuple[int, int]]) -> Tensor:
        """Attend among tokens ``(T, C)`` at places in the window; tokens of other regions of the map are not seen."""
        msa, dim = self.attn["w_msa"], tokens.shape[1] // self.heads
        query, key, value = msa["qkv"](tokens).chunk(3, dim=1)
        table = msa.relative_position_bias_table.view(2 * self.window - 1, 2 * self.window - 1, self.heads)
        out = torch.zeros_like(tokens)
        for head in range(self.heads):
            part = slice(head * dim, (head + 1) * dim)
            scores = query[:, part] @ key[:, part].T * dim**-0.5
            for i, (row, column) in enumerate(places):
                for j, (other_row, other_column) in enumerate(places):
                    below, right = row - other_row + self.window - 1, column - other_column + self.window - 1
                    scores[i, j] = scores[i, j] + table[below, right, head] - 100 * (regions[i] != regions[j])
            out[:, part] = scores.softmax(dim=1) @ value[:, part]
        return msa["proj"](out)

    def forward(self, x: Tensor) -> Tensor:
        count, height, width, _ = x.shape
        side, shift = self.window, self.shift
        rows, columns = -(-height // side) * side, -(-width // side) * side
        padded = torch.zeros(count, rows, columns, x.shape[3])
        padded[:, :height, :width] = self.norm1(x)
        out = torch.zeros_like(padded)

        def region(place: int, length: int) -> int:
            return 0 if place < length - side else 1 if place < length - shift else 2

        for image in range(count):
            for top in range(0, rows, side):
                for left in range(0, columns, side):
                    places = [(row, column) for row in range(side) for column in range(side)]
                    there = [((top + row + shift) % rows, (left + column + shift) % columns) for row, column in places]
                    regions = [(0, 0)] * len(places)
                    if shift:
                        regions = [(region(top + row, rows), region(left + col, columns)) for row, col in places]
                    tokens = torch.stack([padded[image, row, column] for row, column in there])
                    for (row, column), token in zip(there, self.attend(tokens, places, regions)):
                        out[image, row, column] = token
        x = x + out[:, :height, :width]
        return x + self.ffn["layers"](self.norm2(x))


class MMDownsample(nn.Module):
    """mmdetection's merging of 2 x 2 positions, by torch's unfolding."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        merged = F.unfold(x.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
        return self.reduction(self.norm(merged)).unflatten(1, (x.shape[1] // 2, x.shape[2] // 2))


class SOLIDERSwin(nn.Module):
    """SOLIDER's Swin with three stages; the semantic embedding comes behind each stage, even the last."""

    def __init__(self, dim: int = 8, window: int = 3) -> None:
        super().__init__()
        projection = nn.Conv2d(3, dim, 4, 4)
        self.patch_embed = nn.ModuleDict({"projection": projection, "norm": nn.LayerNorm(dim)})
        self.stages = nn.ModuleList()
        for stage in range(3):
            width = dim * 2**stage
            blocks = nn.Sequential(*(MMBlock(width, 2, window, number * (window // 2)) for number in range(2)))
            parts = {"blocks": blocks} | ({"downsample": MMDownsample(width)} if stage < 2 else {})
            self.stages.append(nn.ModuleDict(parts))
            self.add_module(f"norm{stage}", nn.LayerNorm(width))
        widths = (2 * dim, 4 * dim, 4 * dim)
        self.semantic_embed_w = nn.ModuleList(nn.Linear(2, width) for width in widths)
        self.semantic_embed_b = nn.ModuleList(nn.Linear(2, width) for width in widths)

    def forward(self, images: Tensor, semantic_weight: float) -> Tensor:
        w = torch.tensor([semantic_weight, 1 - semantic_weight])
        x = self.patch_embed["norm"](self.patch_embed["projection"](images).permute(0, 2, 3, 1))
        for stage, scale, shift in zip(self.stages, self.semantic_embed_w, self.semantic_embed_b):
            out = stage["blocks"](x)
            x = stage["downsample"](out) if "downsample" in stage else out
            x = x * F.softplus(scale(w)) + shift(w)
        return self.norm2(out).permute(0, 3, 1, 2)


class SOLIDERReID(nn.Module):
    """A model of SOLIDER-REID; embeds behind the neck."""

    def __init__(self) -> None:
        super().__init__()
        self.base = SOLIDERSwin()
        self.bottleneck, self.classifier = nn.BatchNorm1d(32), nn.Linear(32, CLASSES, bias=False)

    def forward(self, images: Tensor, semantic_weight: float) -> Tensor:
        return self.bottleneck(self.base(images, semantic_weight).mean((2, 3)))


def filled(net: nn.Module) -> nn.Module:
    """Return a network in eval mode whose weights and statistics are far from fresh ones."""
    fill_by_name(net)
    return net.eval().requires_grad_(False)


def small_layouts(monkeypatch) -> None:
    """Make ``DEPTH`` tiny and clip_tiny, of both transformers, networks as small as those above."""
    layout = vision_transformer.ViTLayout(dim=DIM, depth=DEPTH, heads=HEADS, mlp_ratio=2.0)
    monkeypatch.setitem(vision_transformer.LAYOUTS, "tiny", layout)
    clip = vision_transformer.ViTLayout(dim=DIM, depth=DEPTH, heads=HEADS, eps=1e-5, clip=True, projection=16)
    monkeypatch.setitem(vision_transformer.LAYOUTS, "clip_tiny", clip)
    swin = swin_transformer.SwinLayout(dim=8, depths=(2, 2, 2), heads=(2, 2, 2), window=3)
    monkeypatch.setitem(swin_transformer.LAYOUTS, "tiny", swin)
    monkeypatch.setitem(swin_transformer.LAYOUTS, "solider_tiny", dataclasses.replace(swin, shift_lone=True))


def model_for(cfg: CfgNode, options: Iterable = ()) -> nn.Module:
    """Build a model of ours in eval mode; pixels are not normalised, so that both networks see the same."""
    cfg = cfg.clone()
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [0.0] * 3, [1.0] * 3
    cfg.merge_from_list(list(options))
    return build_model(cfg).eval().requires_grad_(False)
