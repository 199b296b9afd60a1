from __future__ import annotations

from collections.abc import Mapping, Set

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.weights import WeightsMismatch
from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import Rules, leave_out, neck_and_classifier, take_renamed

__all__ = ["SOLIDER", "TorchvisionSwin", "fold_scale_and_shift", "unfold_order_to_timm"]

# w of SOLIDER's semantic embedding [w, 1 - w], as its authors set it for re-identification.
SEMANTIC_WEIGHT = 0.2

_BLOCK = r"stages\.(\d+)\.blocks\.(\d+)\."
_MMDETECTION: Rules = (
    (r"patch_embed\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"patch_embed\.norm\.(weight|bias)", r"patch_embed.norm.\1"),
    (_BLOCK + r"norm(1|2)\.(weight|bias)", r"layers.\1.blocks.\2.norm\3.\4"),
    (_BLOCK + r"attn\.w_msa\.(qkv\.\w+|proj\.\w+|relative_position_bias_table)", r"layers.\1.blocks.\2.attn.\3"),
    (_BLOCK + r"ffn\.layers\.0\.0\.(weight|bias)", r"layers.\1.blocks.\2.mlp.fc1.\3"),
    (_BLOCK + r"ffn\.layers\.1\.(weight|bias)", r"layers.\1.blocks.\2.mlp.fc2.\3"),
)


def unfold_order_to_timm(values: Tensor) -> Tensor:
    """Reorder the last axis, the four pixels that a Swin merges, from mmdetection's order to timm's.

    Args:
        values: ``(..., 4 C)``: for each channel its four pixels, row by row.

    Returns:
        ``(..., 4 C)``: for each pixel, column by column, its channels.
    """
    grid = values.unflatten(-1, (-1, 2, 2))  # (..., C, row, column)
    return grid.movedim(-3, -1).transpose(-3, -2).flatten(-3)  # (..., column, row, C) -> (..., 4 C)


def fold_scale_and_shift(weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Put a scale and a shift behind a linear layer into that layer and into the norm before it.

    With ``n`` what the norm returns before its bias, ``scale * (weight @ (n + bias)) + shift`` is
    ``new_weight @ (n + new_bias)``.

    Args:
        weight: ``(M, K)`` of the linear layer, which has no bias; its rows must be independent, so M <= K.
        bias: ``(K,)`` of the norm.
        scale: ``(M,)``, not 0.
        shift: ``(M,)``.

    Returns:
        The new weight and the new norm's bias, in float32; the bias with the least change.

    Raises:
        WeightsMismatch: if no bias makes that shift, since the rows are not independent.
    """
    weight, bias, scale, shift = (tensor.double() for tensor in (weight, bias, scale, shift))
    weight = scale[:, None] * weight
    change = torch.linalg.lstsq(weight, shift[:, None], driver="gelsd").solution[:, 0]
    left = (weight @ change - shift).abs().max()
    if not left <= 1e-6 * max(1.0, shift.abs().max().item()):
        raise WeightsMismatch(
            f"the semantic shift of a downsampling layer cannot be folded into its norm (a rest of {left:.2g} "
            "remains): the rows of its reduction are not independent, as those of a trained network are"
        )
    return weight.float(), (bias + change).float()


@FOREIGN_WEIGHTS_REGISTRY.register()
class SOLIDER(ForeignWeights):
    """A Swin transformer in mmdetection's names: SOLIDER's pretrained networks, and models of SOLIDER-REID.

    Behind each downsampling SOLIDER computes ``x * softplus(W [w, 1 - w]) + B [w, 1 - w]``, with one w for all images.
    For a fixed w this is folded, without a change of what is computed, into the downsampling: see
    :func:`fold_scale_and_shift`.

    Source: Chen et al., "Beyond Appearance: a Semantic Controllable Self-Supervised Learning Framework for
    Human-Centric Visual Tasks", CVPR 2023, arXiv:2303.17602.

    Args:
        semantic_weight: w, in [0, 1]; the larger, the more semantics, the smaller, the more appearance.
    """

    whose = "SOLIDER (a Swin in mmdetection's names)"

    def __init__(self, semantic_weight: float = SEMANTIC_WEIGHT) -> None:
        self.semantic_weight = semantic_weight

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the first block's windows, bare or in ``base`` or ``backbone``."""
        return _prefix(keys) is not None

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Rename to timm's Swin, reorder merged pixels, fold the semantic embedding."""
        result = Translation(rest=dict(state_dict))
        prefix = _prefix(state_dict.keys()) or ""
        result.backbone = take_renamed(result.rest, prefix, _MMDETECTION)
        last = max(int(key.split(".")[1]) for key in result.backbone if key.startswith("layers."))
        result.backbone |= take_renamed(result.rest, prefix, [(rf"norm{last}\.(.+)", r"norm.\1")])
        if any(key.startswith(f"{prefix}semantic_embed_") for key in result.rest):
            result.notes.append(f"The semantic weight {self.semantic_weight:g} is folded into the downsampling layers.")
        for stage in range(last):
            self._take_downsampling(result, prefix, stage)
        _leave_out_tables(result)
        unused = [f"{prefix}semantic_embed_{kind}.{last}." for kind in "wb"]
        unused += [f"{prefix}norm{stage}." for stage in range(last)]
        leave_out(result, unused, "not used by the last stage's map")
        leave_out(result, "head.", "of pretraining")
        neck_and_classifier(result)
        return result

    def misgivings(self, backbone: nn.Module) -> list[str]:
        """Say so where windows that cover a map are not shifted, as they are in mmdetection."""
        if getattr(backbone, "shift_lone", True):
            return []
        return [
            "SOLIDER's networks shift windows that cover a map, and those of MODEL.BACKBONE.DEPTH tiny, small and base "
            "do not: set solider_tiny, solider_small or solider_base to embed as they do"
        ]

    def _take_downsampling(self, result: Translation, prefix: str, stage: int) -> None:
        """Take the layer that ends one stage here and begins the next in timm, with its semantics."""
        rules = [(r"(norm\.\w+|reduction\.weight)", r"\1")]
        layer = take_renamed(result.rest, f"{prefix}stages.{stage}.downsample.", rules)
        layer = {key: unfold_order_to_timm(value) for key, value in layer.items()}
        scale = self._semantics(result.rest, f"{prefix}semantic_embed_w.{stage}.")
        shift = self._semantics(result.rest, f"{prefix}semantic_embed_b.{stage}.")
        if scale is not None and shift is not None:
            layer["reduction.weight"], layer["norm.bias"] = fold_scale_and_shift(
                layer["reduction.weight"], layer["norm.bias"], F.softplus(scale), shift
            )
        result.backbone.update((f"layers.{stage + 1}.downsample.{key}", value) for key, value in layer.items())

    def _semantics(self, rest: dict[str, Tensor], prefix: str) -> Tensor | None:
        """Take a layer of the semantic embedding; return what it makes of the weight, ``(2 C,)`` float64."""
        layer = take_renamed(rest, prefix, [("(weight|bias)", r"\1")])
        if not layer:
            return None
        w = torch.tensor([self.semantic_weight, 1 - self.semantic_weight], dtype=torch.float64)
        return layer["weight"].double() @ w + layer["bias"].double()


def _leave_out_tables(result: Translation) -> None:
    keys = [key for key in result.rest if key.endswith(".relative_position_index")]
    for key in keys:
        del result.rest[key]
    if keys:
        result.left_out.append(f"relative_position_index ({len(keys)} tensors): tables that are computed")


def _prefix(keys: Set[str]) -> str | None:
    """Return what stands before the names of mmdetection's Swin, or ``None`` if it is not there."""
    for prefix in ("", "base.", "backbone."):
        if f"{prefix}stages.0.blocks.0.attn.w_msa.qkv.weight" in keys:
            return prefix
    return None


_TV_BLOCK = r"features\.([1357])\.(\d+)\."
_TORCHVISION: Rules = (
    (r"features\.0\.0\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"features\.0\.2\.(weight|bias)", r"patch_embed.norm.\1"),
    (_TV_BLOCK + r"norm(1|2)\.(weight|bias)", r"layers.\1.blocks.\2.norm\3.\4"),
    (_TV_BLOCK + r"attn\.(qkv\.\w+|proj\.\w+|relative_position_bias_table)", r"layers.\1.blocks.\2.attn.\3"),
    (_TV_BLOCK + r"mlp\.0\.(weight|bias)", r"layers.\1.blocks.\2.mlp.fc1.\3"),
    (_TV_BLOCK + r"mlp\.3\.(weight|bias)", r"layers.\1.blocks.\2.mlp.fc2.\3"),
    (r"features\.([246])\.(norm\.\w+|reduction\.weight)", r"layers.\1.downsample.\2"),
    (r"norm\.(weight|bias)", r"norm.\1"),
)


@FOREIGN_WEIGHTS_REGISTRY.register()
class TorchvisionSwin(ForeignWeights):
    """The Swin transformers (first version) of torchvision; their classifier is left out."""

    whose = "torchvision's Swin transformer"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the first block with its table of offsets, which the second version has not."""
        first = "features.1.0.attn."
        return f"{first}relative_position_bias_table" in keys and f"{first}qkv.weight" in keys

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Rename; modules alternate between stages and downsampling there."""
        result = Translation(rest=dict(state_dict))
        taken = take_renamed(result.rest, "", _TORCHVISION)
        for key, value in taken.items():
            layers, _, below = key.partition(".")
            if layers == "layers":
                number, _, below = below.partition(".")
                key = f"layers.{int(number) // 2}.{below}"
            result.backbone[key] = value
        _leave_out_tables(result)
        leave_out(result, "head.", "classifier")
        return result
