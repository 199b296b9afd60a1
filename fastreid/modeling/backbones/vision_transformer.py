"""Vision transformers: the embedding of an image is what a class token learns from its patches."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config import CfgNode
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import Norm, layout_of, load_pretrained, warn_of_unread
from .vit_parts import PATCH, Block, PatchEmbed, ViTLayout

__all__ = ["LAYOUTS", "VisionTransformer", "build_vit_backbone", "resize_position_embedding"]

logger = logging.getLogger(__name__)

OUTPUTS = ("auto", "class", "map", "tokens")


LAYOUTS = {
    "deit_tiny": ViTLayout(dim=192, heads=3),
    "deit_small": ViTLayout(dim=384, heads=6),
    "small": ViTLayout(depth=8, heads=8, mlp_ratio=3.0, qkv_bias=False, scale=768**-0.5),
    "base": ViTLayout(),
    # the image tower of CLIP ViT-B/16 (Radford et al., ICML 2021, arXiv:2103.00020) as CLIP-ReID embeds with it
    "clip_base": ViTLayout(eps=1e-5, clip=True, projection=512),
}

# ImageNet weights: DeiT's by its authors (Touvron et al., ICML 2021, arXiv:2012.12877); ViT's by timm's, from Google's
PRETRAINED = {
    "deit_tiny": "https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth",
    "deit_small": "https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
    "base": "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-vitjx/"
    "jx_vit_base_p16_224-80ecf9dd.pth",
}


class VisionTransformer(Backbone):
    """A vision transformer that returns its class token, a map of its patches, or all its tokens.

    Parameter names are those of timm. The position embedding fits the size that the network is built for; weights for
    another size are resized when they are loaded, and images of another size get a resized one.

    With side information each camera has an embedding, which is added to the tokens, so that the network need not
    explain by identity what comes of the camera. A last one is for cameras that were never seen: some training images,
    drawn at random, are taken for such, which trains it.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929; overlapping patches and
    side information: He et al., "TransReID", ICCV 2021, arXiv:2102.04378.

    Args:
        layout: which variant.
        image_size: height and width of the images, in pixels, at least a patch each.
        stride: of the patches, in pixels, down and across.
        drop_path: of the last block, in [0, 1), see :class:`Block`; it rises linearly from 0 at the first.
        attention_drop: in [0, 1), see :class:`Attention`.
        drop: share of activations that are dropped, in [0, 1).
        output: one of :data:`OUTPUTS`; see :meth:`forward`.
        num_cameras: cameras with an embedding of their own; ``None``: no side information.
        camera_weight: factor of these embeddings.
        hide_camera: share of training images whose camera counts as never seen, in [0, 1). With 0 the mean embedding
            of all cameras stands for cameras that were never seen.
        stem_norm: see :class:`PatchEmbed`.

    Raises:
        ValueError: if the images are smaller than a patch, a stride is below 1, or odd with a stem, a share is out of
            range, or there is no such output.
    """

    def __init__(
        self,
        *,
        layout: ViTLayout,
        image_size: Sequence[int] = (256, 128),
        stride: Sequence[int] = (PATCH, PATCH),
        drop_path: float = 0.0,
        attention_drop: float = 0.0,
        drop: float = 0.0,
        output: str = "auto",
        num_cameras: int | None = None,
        camera_weight: float = 3.0,
        hide_camera: float = 0.1,
        stem_norm: Norm | None = None,
    ) -> None:
        super().__init__()
        _check_options(stride, image_size, output, hide_camera)
        for key, rate in (("DROP_PATH_RATIO", drop_path), ("ATT_DROP_RATE", attention_drop), ("DROP_RATIO", drop)):
            if not 0 <= rate < 1:
                raise ValueError(f"MODEL.BACKBONE.{key} must be in [0, 1), got {rate}")
        if stem_norm is not None and any(step % 2 for step in stride):
            raise ValueError(f"MODEL.BACKBONE.STRIDE_SIZE must be even with CONV_STEM True, got {tuple(stride)}")
        self.layout, self.dim, self.stride = layout, layout.dim, tuple(stride)
        self.output = "class" if output == "auto" else output
        self.camera_weight, self.hide_camera = camera_weight, hide_camera
        self.grid = tuple((side - PATCH) // step + 1 for side, step in zip(image_size, stride, strict=True))
        norm = partial(nn.LayerNorm, layout.dim, eps=layout.eps)
        self.patch_embed = PatchEmbed(layout.dim, stride, bias=not layout.clip, stem_norm=stem_norm)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, layout.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + math.prod(self.grid), layout.dim))
        self.sie_embed = None if num_cameras is None else nn.Parameter(torch.zeros(num_cameras + 1, 1, layout.dim))
        self.pos_drop = nn.Dropout(drop)
        self.norm_pre = norm() if layout.clip else nn.Identity()
        rates = torch.linspace(0, drop_path, layout.depth, device="cpu").tolist()
        self.blocks = nn.ModuleList(
            Block(layout, drop_path=rate, attention_drop=attention_drop, drop=drop) for rate in rates
        )
        self.norm = norm()
        projects = layout.projection and self.output == "class"
        self.projection = nn.Parameter(torch.zeros(layout.dim, layout.projection)) if projects else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw embeddings and linear layers from a normal distribution cut off at two deviations of 0.02."""
        for parameter in (self.cls_token, self.pos_embed, self.sie_embed):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.projection is not None:
            nn.init.normal_(self.projection, std=self.dim**-0.5)

    @property
    def takes_cameras(self) -> bool:
        """Whether :meth:`forward` wants to know the cameras."""
        return self.sie_embed is not None

    @property
    def num_layers(self) -> int:
        """Layers that :meth:`layer_of` tells apart: the embeddings, and each block."""
        return 1 + len(self.blocks)

    def layer_of(self, name: str) -> int:
        """Return how deep a parameter lies: 0 for the embeddings, then the blocks, and ``num_layers`` behind them."""
        if name.startswith("blocks."):
            return 1 + int(name.split(".")[1])
        return self.num_layers if name.startswith("norm.") or name == "projection" else 0

    def output_shape(self) -> FeatureShape:
        """Return the number of channels, and for a map how many pixels down a step of it is."""
        channels = self.dim if self.projection is None else self.dim + self.projection.shape[1]
        return FeatureShape(channels=channels, stride=self.stride[0] if self.output == "map" else None)

    def _tokens(self, images: Tensor, cameras: Tensor | None = None) -> tuple[Tensor, tuple[int, int]]:
        """Return ``(N, 1 + h * w, D)`` tokens before the first block, and the grid of their patches."""
        patches = self.patch_embed(images)  # (N, D, h, w)
        grid = (patches.shape[2], patches.shape[3])
        tokens = torch.cat([self.cls_token.expand(images.shape[0], -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        positions = self.pos_embed
        if grid != self.grid:
            positions = resize_position_embedding(positions, self.grid, grid)
        tokens = tokens + positions
        if self.sie_embed is not None:
            tokens = self._with_cameras(tokens, cameras)
        return self.norm_pre(self.pos_drop(tokens)), grid

    def _with_cameras(self, tokens: Tensor, cameras: Tensor | None) -> Tensor:
        """Add to each image's tokens the embedding of its camera."""
        unseen = self.sie_embed.shape[0] - 1
        if self.training and unseen == 0:
            raise ValueError(
                "MODEL.BACKBONE.WITH_SIE is True, but SIE_CAMERAS named no cameras when the model was built, so it "
                "cannot learn them; fastreid.engine.side_information.with_cameras_of(cfg, train_set) puts them there"
            )
        if cameras is None:
            if self.training:
                raise ValueError(
                    "MODEL.BACKBONE.WITH_SIE True needs the cameras of the training images, but the batch has no "
                    "'cameras'; train on data sets (DATASETS.NAMES)"
                )
            cameras = torch.full(tokens.shape[:1], unseen, device=tokens.device)
        cameras = torch.where((cameras < 0) | (cameras > unseen), unseen, cameras)  # (N,)
        table = self.sie_embed  # (cameras + 1, 1, D)
        if self.hide_camera and self.training:
            hidden = torch.rand(cameras.shape, device=cameras.device) < self.hide_camera
            cameras = torch.where(hidden, unseen, cameras)
        elif not self.hide_camera and unseen:
            table = torch.cat([table[:-1], table[:-1].mean(dim=0, keepdim=True)])
        added = self.camera_weight * table[cameras]  # (N, 1, D)
        if self.layout.clip:
            return torch.cat([tokens[:, :1] + added, tokens[:, 1:]], dim=1)
        return tokens + added

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Map ``(N, 3, H, W)`` to what ``output`` says; all but the tokens of ``tokens`` is behind the last norm.

        Args:
            images: ``(N, 3, H, W)``, normalised.
            cameras: ``(N,)`` int64, places in the list of cameras; -1: never seen. ``None``: none was seen, which is
                right in evaluation only. Without side information they are not read.

        Returns:
            ``class``: ``(N, D, 1, 1)``, the class token, with its projection behind it if there is one. ``map``: ``(N,
            D, h, w)``, the patches. ``tokens``: ``(N, D, 2 + h * w, 1)``, the class token, and then all tokens as they
            enter the last block, which :class:`~fastreid.modeling.heads.JigsawPatchHead` takes.

        Raises:
            ValueError: in training mode, if there is side information, but no cameras.
        """
        tokens, grid = self._tokens(images, cameras)
        # torch 2.5 exports neither slices of a ModuleList nor [:] of batches of any size
        *blocks, last_block = self.blocks
        for block in blocks:
            tokens = block(tokens)
        last = self.norm(last_block(tokens))  # (N, 1 + h * w, D)
        if self.output == "map":
            return last.narrow(1, 1, math.prod(grid)).transpose(1, 2).unflatten(2, grid)
        token = last.narrow(1, 0, 1)  # (N, 1, D)
        if self.output == "tokens":
            return torch.cat([token, tokens], dim=1).transpose(1, 2)[..., None]
        if self.projection is not None:
            token = torch.cat([token, token @ self.projection], dim=2)
        return token.transpose(1, 2)[..., None]

    @torch.no_grad()
    def attention_maps(self, images: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Return how the tokens of each block look at each other; the class token is the first.

        Args:
            images: ``(N, 3, H, W)``, normalised; with side information, of a camera that was never seen.

        Returns:
            For each block ``(N, heads, 1 + h * w, 1 + h * w)``, rows that sum to 1; and h and w.
        """
        tokens, grid = self._tokens(images)
        found = []
        for block in self.blocks:
            found.append(block.attn.weights(block.norm1(tokens)))
            tokens = block(tokens)
        return found, grid

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Fit, in place, a position embedding of another image size, and cameras without one that was never seen."""
        key = f"{prefix}pos_embed"
        stored = state_dict.get(key)
        wanted = self.pos_embed.shape
        fits = stored is not None and stored.ndim == 3 and stored.shape[1] > 1 and stored.shape[2] == wanted[2]
        if fits and stored.shape[1] != wanted[1]:  # one of another network stays, for the report of what does not fit
            grid = grid_of(stored.shape[1] - 1, self.grid)
            state_dict[key] = resize_position_embedding(stored, grid, self.grid)
            logger.info("%s, of %d x %d patches, is resized to %d x %d", key, *grid, *self.grid)
        key = f"{prefix}sie_embed"
        stored = state_dict.get(key)
        if stored is not None and self.sie_embed is not None and 0 < len(stored) == len(self.sie_embed) - 1:
            state_dict[key] = torch.cat([stored, stored.mean(dim=0, keepdim=True)])
            logger.info("%s has no camera that was never seen; the mean of its %d cameras is one", key, len(stored))
        elif stored is not None and self.sie_embed is not None and len(stored) != len(self.sie_embed):
            logger.warning(
                "%s has %d cameras, or one less and one that was never seen, but MODEL.BACKBONE.SIE_CAMERAS names %d; "
                "name those of the weights, in their order",
                key,
                len(stored),
                len(self.sie_embed) - 1,
            )


def _check_options(stride: Sequence[int], image_size: Sequence[int], output: str, hide_camera: float) -> None:
    if len(stride) != 2 or min(stride) < 1:
        raise ValueError(f"MODEL.BACKBONE.STRIDE_SIZE must be two numbers of at least 1, got {tuple(stride)}")
    if min(image_size) < PATCH:
        raise ValueError(f"INPUT.SIZE_TRAIN must be at least a patch, {PATCH} pixels, got {tuple(image_size)}")
    if output not in OUTPUTS:
        raise ValueError(f"MODEL.BACKBONE.OUTPUT must be one of {', '.join(OUTPUTS)}, got {output!r}")
    if not 0 <= hide_camera < 1:
        raise ValueError(f"MODEL.BACKBONE.SIE_HIDE_RATE must be in [0, 1), got {hide_camera}")


def grid_of(positions: int, like: tuple[int, int]) -> tuple[int, int]:
    """Guess height and width of a grid from the number of its positions: a square, or as slim as ``like``.

    Example:
        >>> grid_of(196, (16, 8)), grid_of(128, (24, 8))
        ((14, 14), (16, 8))
    """
    side = math.isqrt(positions)
    if side * side == positions:
        return side, side
    pairs = [(positions // width, width) for width in range(1, positions + 1) if positions % width == 0]
    return min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1] * like[1] / like[0])))


def resize_position_embedding(embedding: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Resize a position embedding, bilinearly; that of the class token stays.

    Args:
        embedding: ``(1, 1 + h * w, D)`` float.
        grid: h and w.
        wanted: the new h and w.

    Returns:
        ``(1, 1 + new h * new w, D)`` in the dtype of ``embedding``.
    """
    token, positions = embedding[:, :1], embedding[:, 1:]
    plane = positions.transpose(1, 2).unflatten(2, grid)  # (1, D, h, w)
    plane = F.interpolate(plane.float(), size=wanted, mode="bilinear", align_corners=False)
    return torch.cat([token, plane.flatten(2).transpose(1, 2).to(embedding.dtype)], dim=1)


def _size(sides: Sequence[int]) -> tuple[int, int]:
    """Return height and width of the images; a transformer is made for images of one size."""
    if not sides:
        raise ValueError(
            "INPUT.SIZE_TRAIN is [], images keep their size, but build_vit_backbone is made for images of one size; "
            "set INPUT.SIZE_TRAIN, such as [256, 128]"
        )
    return (sides[0], sides[-1])


@BACKBONE_REGISTRY.register()
def build_vit_backbone(cfg: CfgNode) -> VisionTransformer:
    """Build a vision transformer, and load ImageNet weights if ``MODEL.BACKBONE.PRETRAIN``.

    ``DEPTH`` is ``deit_tiny``, ``deit_small``, ``base``, ``clip_base``, or v1.3's ``small``, which has 8 blocks as wide
    as ``base``. ``STRIDE_SIZE``, ``CONV_STEM`` and its ``NORM``, ``DROP_PATH_RATIO``, ``DROP_RATIO``,
    ``ATT_DROP_RATE``, ``OUTPUT``, ``WITH_SIE``, ``SIE_*``, ``PRETRAIN`` and ``PRETRAIN_PATH`` of ``MODEL.BACKBONE`` are
    read, and ``INPUT.SIZE_TRAIN``.

    Raises:
        KeyError: if there is no such depth, or nobody published weights of it.
        ValueError: see :class:`VisionTransformer`.
    """
    node = cfg.MODEL.BACKBONE
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL")
    net = VisionTransformer(
        layout=layout_of(node, LAYOUTS),
        image_size=_size(cfg.INPUT.SIZE_TRAIN),
        stride=node.STRIDE_SIZE,
        drop_path=node.DROP_PATH_RATIO,
        attention_drop=node.ATT_DROP_RATE,
        drop=node.DROP_RATIO,
        output=node.OUTPUT,
        num_cameras=len(node.SIE_CAMERAS) if node.WITH_SIE else None,
        camera_weight=node.SIE_COE,
        hide_camera=node.SIE_HIDE_RATE,
        stem_norm=node.NORM if node.CONV_STEM else None,
    )
    classifier = ("head.*", "head_dist.*", "pre_logits.*", "fc.*")
    load_pretrained(net, node, PRETRAINED, node.DEPTH, may_miss=("sie_embed", "projection"), may_ignore=classifier)
    return net
