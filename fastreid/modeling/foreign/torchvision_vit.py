from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor

from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import Rules, leave_out, take_renamed

__all__ = ["TorchvisionViT"]

_BLOCK = r"encoder\.layers\.encoder_layer_(\d+)\."
_NAMES: Rules = (
    ("class_token", "cls_token"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"conv_proj\.(weight|bias)", r"patch_embed.proj.\1"),
    (_BLOCK + r"ln_(1|2)\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (_BLOCK + r"self_attention\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (_BLOCK + r"self_attention\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    # the first name is that of files from before torchvision 0.12's layer had one of its own
    (_BLOCK + r"mlp\.(?:linear_1|0)\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (_BLOCK + r"mlp\.(?:linear_2|3)\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"encoder\.ln\.(weight|bias)", r"norm.\1"),
)


@FOREIGN_WEIGHTS_REGISTRY.register()
class TorchvisionViT(ForeignWeights):
    """The vision transformers of torchvision; their classifier, which is called ``heads``, is left out."""

    whose = "torchvision's vision transformer"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the class token and the position embedding."""
        return {"class_token", "encoder.pos_embedding"} <= keys

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Rename; all shapes are those of timm."""
        result = Translation(rest=dict(state_dict))
        result.backbone = take_renamed(result.rest, "", _NAMES)
        leave_out(result, "heads.", "classifier")
        return result
