from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor

from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import leave_out, take_renamed

__all__ = ["DINO"]

_HEADS = ("head.mlp.", "head.last_layer", "head.mlp2.")


@FOREIGN_WEIGHTS_REGISTRY.register()
class DINO(ForeignWeights):
    """A student or teacher of DINO, iBOT, TransReID-SSL or PersonViT: ``backbone.*`` beside the head of pretraining.

    The network alone, as most of their published files are, needs no translation, but for iBOT's ``masked_embed``.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, arXiv:2104.14294;
    Zhou et al., "iBOT", ICLR 2022, arXiv:2111.07832.
    """

    whose = "DINO (or iBOT, TransReID-SSL, PersonViT)"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the head of pretraining beside a backbone, or for what stands for masked patches."""
        if any(key.startswith(("heads.", "backbone.stages.")) for key in keys):
            return False
        pretrained = any(key.startswith(_HEADS) for key in keys) and any(key.startswith("backbone.") for key in keys)
        return pretrained or {"masked_embed", "cls_token"} <= keys

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Keep the backbone, of whatever kind it is."""
        result = Translation(rest=dict(state_dict))
        leave_out(result, "head.", "of pretraining")
        leave_out(result, ("masked_embed", "backbone.masked_embed"), "of pretraining")
        prefix = "" if "cls_token" in result.rest else "backbone."
        result.backbone = take_renamed(result.rest, prefix, [("(.+)", r"\1")])
        return result
