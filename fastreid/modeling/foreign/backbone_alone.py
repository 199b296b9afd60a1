from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor

from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import take_renamed

__all__ = ["BackboneAlone"]

# Of other schemes, and of models of this library with side information, that their heads were taken off.
_OTHERS = {"backbone.stages.0.blocks.0.attn.w_msa.qkv.weight", "backbone.masked_embed", "backbone.sie_embed"}


@FOREIGN_WEIGHTS_REGISTRY.register()
class BackboneAlone(ForeignWeights):
    """A network of which every tensor is in ``backbone.``, and nothing beside it: cut out of a model, whosever.

    So are teachers of DINO and iBOT without the head of pretraining.
    """

    whose = "a network in 'backbone.' without a head"

    def recognises(self, keys: Set[str]) -> bool:
        """Look whether there is anything else."""
        return bool(keys) and not keys & _OTHERS and all(key.startswith("backbone.") for key in keys)

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Take the prefix off."""
        return Translation(backbone=take_renamed(dict(state_dict), "backbone.", [("(.+)", r"\1")]))
