from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor

from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import Rules, leave_out, take_renamed

__all__ = ["CLIP", "CLIPReID"]

_BLOCK = r"transformer\.resblocks\.(\d+)\."
_TOWER: Rules = (
    ("class_embedding", "cls_token"),
    ("positional_embedding", "pos_embed"),
    (r"conv1\.weight", "patch_embed.proj.weight"),
    (r"ln_pre\.(weight|bias)", r"norm_pre.\1"),
    (_BLOCK + r"ln_(1|2)\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (_BLOCK + r"attn\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (_BLOCK + r"attn\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (_BLOCK + r"mlp\.c_fc\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (_BLOCK + r"mlp\.c_proj\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"ln_post\.(weight|bias)", r"norm.\1"),
    ("proj", "projection"),
)


def _tower(rest: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take CLIP's vision transformer out of ``rest``, in our names and shapes."""
    tower = take_renamed(rest, prefix, _TOWER)
    for key in ("cls_token", "pos_embed"):
        if key in tower:
            tower[key] = tower[key].reshape(1, -1, tower[key].shape[-1])  # (1, 1, D), (1, 1 + n, D)
    return tower


@FOREIGN_WEIGHTS_REGISTRY.register()
class CLIP(ForeignWeights):
    """The vision transformer of OpenAI's CLIP and of OpenCLIP, ``visual.*``; the text side is left out.

    The image tower alone, as ``model.visual.state_dict()`` has it, is read, too.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
    arXiv:2103.00020.
    """

    whose = "CLIP"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the class embedding, in ``visual`` or bare."""
        return any({f"{prefix}class_embedding", f"{prefix}conv1.weight"} <= keys for prefix in ("visual.", ""))

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Keep the image tower; numbers in half precision stay so until they are copied into a model."""
        result = Translation(rest=dict(state_dict))
        result.backbone = _tower(result.rest, "" if "class_embedding" in state_dict else "visual.")
        text = ("transformer.", "token_embedding.", "ln_final.", "positional_embedding", "text_projection", "text.")
        leave_out(result, text, "text side")
        scalars = ("logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size", "attn_mask")
        leave_out(result, scalars, "not used")
        return result


@FOREIGN_WEIGHTS_REGISTRY.register()
class CLIPReID(ForeignWeights):
    """Models of CLIP-ReID on a vision transformer: ``image_encoder.*`` and two necks; the text side is left out.

    Its embedding joins the class token and its projection, each behind a batch norm. ``DEPTH clip_base`` returns the
    two joined, so that the two norms become one.

    Source: Li et al., "CLIP-ReID", AAAI 2023, arXiv:2211.13977.
    """

    whose = "CLIP-ReID"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the class embedding of ``image_encoder``."""
        return {"image_encoder.class_embedding", "image_encoder.conv1.weight"} <= keys

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Join the necks; the two classifiers, which share no logits, are left out."""
        result = Translation(rest=dict(state_dict))
        result.backbone = _tower(result.rest, "image_encoder.")
        cameras = result.rest.pop("cv_embed", None)  # (cameras, D)
        if cameras is not None:
            result.backbone["sie_embed"] = cameras[:, None]  # (cameras, 1, D)
        for name in ("weight", "bias", "running_mean", "running_var"):
            pair = [f"bottleneck.{name}", f"bottleneck_proj.{name}"]
            if all(key in result.rest for key in pair):
                result.heads[f"bottleneck.0.{name}"] = torch.cat([result.rest.pop(key) for key in pair])
        counters = ("bottleneck.num_batches_tracked", "bottleneck_proj.num_batches_tracked")
        leave_out(result, counters, "not used")
        leave_out(result, ("prompt_learner.", "text_encoder."), "text side")
        leave_out(result, ("classifier.", "classifier_proj."), "one for each half of the embedding")
        return result
