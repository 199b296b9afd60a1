from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ..backbones.common import layout_of
from ..backbones.vision_transformer import LAYOUTS, VisionTransformer
from ..backbones.vit_parts import Block
from .build import REID_HEADS_REGISTRY
from .embedding_head import EmbeddingHead

__all__ = ["JigsawPatchHead", "jigsaw"]


def jigsaw(patches: Tensor, shift: int, groups: int) -> Tensor:
    """Move the first patches to the end, cut the row into groups, and deal from them in turn.

    Any few neighbours of the result come from all over the image. Where the groups would not be equal, the last patch
    but one is repeated, or the only one.

    Args:
        patches: ``(N, T, D)``, in reading order.
        shift: patches that go to the end, at least 0.
        groups: at least 1; 1 leaves the order.

    Returns:
        ``(N, T', D)``, T' the next multiple of ``groups``.

    Example:
        >>> jigsaw(torch.arange(6).view(1, 6, 1), shift=2, groups=2).flatten().tolist()
        [2, 5, 3, 0, 4, 1]
    """
    patches = torch.cat([patches[:, shift:], patches[:, :shift]], dim=1)
    short = -patches.shape[1] % groups
    if short:
        patches = torch.cat([patches, patches[:, -2:][:, :1].expand(-1, short, -1)], dim=1)
    return patches.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


@REID_HEADS_REGISTRY.register()
class JigsawPatchHead(EmbeddingHead):
    """Embed an image by its class token, and by class tokens that saw a part of the shuffled patches each.

    The patches are shuffled (:func:`jigsaw`) and divided into parts. A copy of the backbone's last block sees the class
    token with the patches of one part at a time. Whole and parts have a neck and a classifier each. The embedding is
    that of the whole, and behind it those of the parts, divided by their number.

    It needs a transformer with ``MODEL.BACKBONE.OUTPUT tokens``, and ``POOL_LAYER Identity``.

    Source: He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021, arXiv:2102.04378, "Jigsaw
    Patch Module".

    Args:
        block: of the parts, maps tokens ``(N, T, D)`` to the same shape.
        norm: behind it.
        parts: number of parts, at least 1.
        shift: see :func:`jigsaw`.
        groups: see :func:`jigsaw`.
        **options: of each :class:`.EmbeddingHead`.

    Raises:
        ValueError: if a number is too small.
    """

    reads_tokens = True

    @configurable
    def __init__(
        self, *, block: nn.Module, norm: nn.Module, parts: int = 4, shift: int = 4, groups: int = 2, **options: Any
    ) -> None:
        super().__init__(**options)
        for key, value, least in (("PARTS", parts, 1), ("SHIFT", shift, 0), ("GROUPS", groups, 1)):
            if value < least:
                raise ValueError(f"MODEL.HEADS.JIGSAW.{key} must be >= {least}, got {value}")
        self.shift, self.groups = shift, groups
        self.local_block, self.local_norm = block, norm
        self.parts = nn.ModuleList(EmbeddingHead(**options) for _ in range(parts))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.HEADS``, and what ``MODEL.BACKBONE`` says of its blocks.

        Raises:
            ValueError: if the backbone is not told to return its tokens.
            KeyError: if it is no vision transformer of this library.
        """
        node, jig = cfg.MODEL.BACKBONE, cfg.MODEL.HEADS.JIGSAW
        if node.OUTPUT != "tokens":
            raise ValueError(
                f"MODEL.HEADS.NAME JigsawPatchHead needs the tokens of a vision transformer, but MODEL.BACKBONE.OUTPUT "
                f"is {node.OUTPUT!r}; set it to tokens"
            )
        layout = layout_of(node, LAYOUTS)
        return {
            **super().from_config(cfg),
            "block": Block(
                layout, drop_path=node.DROP_PATH_RATIO, attention_drop=node.ATT_DROP_RATE, drop=node.DROP_RATIO
            ),
            "norm": nn.LayerNorm(layout.dim, eps=layout.eps),
            "parts": jig.PARTS,
            "shift": jig.SHIFT,
            "groups": jig.GROUPS,
        }

    def start_from(self, backbone: nn.Module) -> None:
        """Copy the weights of the backbone's last block and norm into those of the parts.

        Raises:
            ValueError: if it is another kind of network.
        """
        if not isinstance(backbone, VisionTransformer):
            raise ValueError(
                "MODEL.HEADS.NAME JigsawPatchHead goes with MODEL.BACKBONE.NAME build_vit_backbone, got a "
                f"{type(backbone).__name__}"
            )
        self.local_block.load_state_dict(backbone.blocks[-1].state_dict())
        self.local_norm.load_state_dict(backbone.norm.state_dict())

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Any]:
        """Embed what a transformer returns.

        Args:
            features: ``(N, feat_dim, 2 + T, 1)`` float: the class token, and then class token and T patches as they
                enter the backbone's last block.
            targets: ``(N,)`` int64 classes, in training mode.

        Returns:
            In eval mode the embedding ``(N, (1 + parts) D)``, not normalised. In training mode what
            :meth:`.EmbeddingHead.forward` returns of the whole, and under ``parts`` the same of each part, by name.

        Raises:
            ValueError: if there are fewer patches than parts; and as :meth:`.EmbeddingHead.forward`.
        """
        whole = super().forward(features[:, :, :1], targets)
        views = [part(view, targets) for part, view in zip(self.parts, self._views(features))]
        if not self.training:
            return torch.cat([whole, *(view / len(views) for view in views)], dim=1)
        return {**whole, "parts": {f"part{number}": view for number, view in enumerate(views, start=1)}}

    def class_logits(self, features: Tensor) -> Tensor:
        """Classify by the whole alone: ``(N, feat_dim, 2 + T, 1)`` to ``(N, C)``; see the base."""
        return super().class_logits(features[:, :, :1])

    def _views(self, features: Tensor) -> list[Tensor]:
        """Return the class token ``(N, D, 1, 1)`` of each part."""
        tokens = features[:, :, 1:].flatten(2).transpose(1, 2)  # (N, 1 + T, D)
        token, patches = tokens[:, :1], tokens[:, 1:]
        size = patches.shape[1] // len(self.parts)
        if size == 0:
            raise ValueError(
                f"MODEL.HEADS.JIGSAW.PARTS is {len(self.parts)}, but there are {patches.shape[1]} patches; make the "
                "images larger (INPUT.SIZE_*), or set MODEL.BACKBONE.OUTPUT tokens if it is another"
            )
        patches = jigsaw(patches, self.shift, self.groups)
        views = []
        for part in range(len(self.parts)):
            seen = torch.cat([token, patches[:, part * size : (part + 1) * size]], dim=1)  # (N, 1 + size, D)
            views.append(self.local_norm(self.local_block(seen)[:, :1]).transpose(1, 2)[..., None])
        return views
