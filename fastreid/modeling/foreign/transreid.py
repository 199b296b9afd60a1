from __future__ import annotations

import re
from collections.abc import Mapping, Set

from torch import Tensor

from .build import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation
from .names import leave_out, neck_and_classifier, take_renamed

__all__ = ["TransReID"]

_PARTS = 4  # local branches of the jigsaw patch module


@FOREIGN_WEIGHTS_REGISTRY.register()
class TransReID(ForeignWeights):
    """Models of TransReID and of what grew from it on vision transformers: TransReID-SSL, PersonViT, SOLIDER's.

    The network is ``base.*`` in timm's names, with ``base.sie_embed`` for side information. Jigsaw patches have copies
    of the last block and norm: ``b1`` for the whole, ``b2`` for the parts; those of ``base`` are unused then.

    Source: He et al., "TransReID", ICCV 2021, arXiv:2102.04378; Hu et al., "PersonViT", arXiv:2408.05398.
    """

    whose = "TransReID (or PersonViT)"

    def recognises(self, keys: Set[str]) -> bool:
        """Look for the class token and the first block of ``base``."""
        return {"base.cls_token", "base.blocks.0.attn.qkv.weight"} <= keys

    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Make the global branch the backbone's, and the local ones the parts of a ``JigsawPatchHead``."""
        result = Translation(rest=dict(state_dict))
        leave_out(result, "base.fc.", "not used")
        if any(key.startswith("b1.0.") for key in state_dict):
            _jigsaw(result)
        result.backbone.update(take_renamed(result.rest, "base.", [("(.+)", r"\1")]))
        neck_and_classifier(result)
        return result


def _jigsaw(result: Translation) -> None:
    blocks = (re.match(r"base\.blocks\.(\d+)\.", key) for key in result.rest)
    last = max(int(found[1]) for found in blocks if found)
    leave_out(result, (f"base.blocks.{last}.", "base.norm."), "not used beside b1 and b2")
    take = [(r"0\.(.+)", rf"blocks.{last}.\1"), (r"1\.(.+)", r"norm.\1")]
    result.backbone.update(take_renamed(result.rest, "b1.", take))
    take = [(r"0\.(.+)", r"local_block.\1"), (r"1\.(.+)", r"local_norm.\1")]
    result.heads.update(take_renamed(result.rest, "b2.", take))
    for part in range(_PARTS):
        take = [(r"(\w+)", rf"parts.{part}.bottleneck.0.\1")]
        result.heads.update(take_renamed(result.rest, f"bottleneck_{part + 1}.", take))
        take = [("weight", f"parts.{part}.weight")]
        result.heads.update(take_renamed(result.rest, f"classifier_{part + 1}.", take))
