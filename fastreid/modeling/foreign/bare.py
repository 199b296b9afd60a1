"""A network by the names of our own backbone, that is not inside a model of this library."""

from __future__ import annotations

from collections.abc import Mapping, Set

from torch import Tensor

from .build import Translation

__all__ = ["translate_bare"]

_WRAPPED = "net."  # what TimmBackbone puts before the names of timm
# What such a network has behind its features, by the names that torchvision, torchreid and timm use.
_BEHIND = ("fc.", "classifier.", "head.", "head_dist.", "pre_logits.")


def translate_bare(state_dict: Mapping[str, Tensor], own: Set[str], heads: Mapping[str, Tensor]) -> Translation | None:
    """Sort the tensors of a bare network, such as one of torchreid.

    A state dict is one of a bare network if it knows no ``backbone.`` and no ``heads.``, but names of the backbone's
    own tensors. These become the backbone's. An embedding layer ``fc`` becomes the head's, if that has the same; a
    ``classifier`` becomes the head's if it is as wide; both are left out otherwise. Everything else stays. A backbone
    that wraps a network of another library, :class:`.TimmBackbone`, gets all tensors, since it sorts them itself.

    Args:
        state_dict: tensors by key.
        own: names of the backbone's tensors.
        heads: state dict of the head.

    Returns:
        ``None`` if this is no such state dict.
    """
    wrapped = all(key.startswith(_WRAPPED) for key in own)
    names = {key.removeprefix(_WRAPPED) for key in own} if wrapped else own
    if any(key.startswith(("backbone.", "heads.")) for key in state_dict) or not names & state_dict.keys():
        return None
    if wrapped:
        return Translation(backbone=dict(state_dict))
    result = Translation()
    for key, value in state_dict.items():
        if key in own:
            result.backbone[key] = value
        elif key.startswith(_BEHIND):
            target = "weight" if key == "classifier.weight" else key
            if target in heads and heads[target].shape[1:] == value.shape[1:]:
                result.heads[target] = value
            else:
                result.left_out.append(f"{key} {tuple(value.shape)}")
        else:
            result.rest[key] = value
    if any(line.startswith("fc.") for line in result.left_out) and "fc.0.weight" not in heads:
        result.notes.append(
            "MODEL.HEADS.FC_DIM would give the head the embedding layer fc, if they were trained with one."
        )
    return result
