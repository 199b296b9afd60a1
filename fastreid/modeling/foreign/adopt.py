"""Take in the state dict of a network that another project wrote."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, MutableMapping, Set

from torch import Tensor, nn

from ...utils.weights import WeightsMismatch
from .bare import translate_bare
from .build import ForeignWeights, Translation, recognise

__all__ = ["adopt_into_backbone", "adopt_into_model"]

logger = logging.getLogger(__name__)

# Tokens beside class and patches, by the names that timm, DeiT, DINOv2 and DINOv3 use.
_OTHER_TOKENS = {"dist_token", "reg_token", "register_tokens", "storage_tokens"}
# Parts of a head that a model need not have, and what gives them to it.
_PARTS = {
    "local_block": "MODEL.HEADS.NAME JigsawPatchHead has it",
    "local_norm": "MODEL.HEADS.NAME JigsawPatchHead has it",
    "parts": "MODEL.HEADS.NAME JigsawPatchHead has them",
    "bottleneck": "MODEL.HEADS.WITH_BNNECK is False",
}


def adopt_into_model(
    state_dict: MutableMapping[str, Tensor], prefix: str, backbone: nn.Module, heads: nn.Module
) -> None:
    """Give the tensors of a foreign model the names of ours, in place, and say what became of them.

    The foreign keys have no prefix. State dicts of this library, and those that nobody recognises, stay as they are.
    Parts of a head that this model has none of are left out. Weights of a network without any head start a neck that
    only normalises as the identity. What is unknown stays, for the caller to refuse.

    Args:
        state_dict: tensors by key, changed.
        prefix: of the model's keys.
        backbone: the model's.
        heads: the model's.

    Raises:
        WeightsMismatch: if the weights are recognised, and belong to a network that this library does not have, or are
            damaged.
    """
    own, wanted = backbone.state_dict().keys(), heads.state_dict()
    scheme = recognise(state_dict)
    if scheme is not None:
        whose, found = scheme.whose, _translated(scheme, state_dict)
        _check_cameras(found.backbone, backbone, whose)
        neck = {} if found.heads else _identity_neck(wanted)  # a whole model brings the neck it was trained with
        _leave_out_parts(found, wanted)
    else:
        inside = any(key.startswith((f"{prefix}backbone.", f"{prefix}heads.")) for key in state_dict)
        bare = None if inside else translate_bare(state_dict, own, wanted)
        if bare is None:
            return
        whose, found, neck = "a bare network", bare, _identity_neck(wanted)
    _check_tokens(found.backbone | found.rest, own, whose)
    _leave_out_projection(found, own)
    _say_what_to_set(found, own)
    _replace(
        state_dict,
        {f"{prefix}backbone.{key}": value for key, value in found.backbone.items()},
        {f"{prefix}heads.{key}": value for key, value in (found.heads | neck).items()},
        found.rest,
    )
    _warn(scheme, backbone)
    identity = " The neck starts as the identity." if neck else ""
    _say(whose, found, f"To the head: {_shorten(sorted(found.heads))}.{identity}")


def adopt_into_backbone(state_dict: MutableMapping[str, Tensor], backbone: nn.Module) -> None:
    """Give the tensors of a foreign network the names of our backbone, in place; leave out what is behind it.

    State dicts that nobody recognises stay as they are. Embeddings of cameras are left out where the backbone has none.

    Args:
        state_dict: tensors by key, changed.
        backbone: what they are for.

    Raises:
        WeightsMismatch: see :func:`adopt_into_model`.
    """
    own = backbone.state_dict().keys()
    scheme = recognise(state_dict)
    if scheme is None:
        _check_tokens(state_dict, own, "a bare network")
        return
    found = _translated(scheme, state_dict)
    _check_tokens(found.backbone, own, scheme.whose)
    _check_cameras(found.backbone, backbone, scheme.whose)
    if found.heads:
        found.left_out.append(f"the head ({len(found.heads)} tensors)")
    _leave_out_projection(found, own)
    if "sie_embed" in found.backbone and "sie_embed" not in own:
        del found.backbone["sie_embed"]
        found.left_out.append("the embeddings of cameras: MODEL.BACKBONE.WITH_SIE is False")
    _say_what_to_set(found, own)
    _replace(state_dict, found.backbone, found.rest)
    _warn(scheme, backbone)
    _say(scheme.whose, found, "")


def _translated(scheme: ForeignWeights, state_dict: Mapping[str, Tensor]) -> Translation:
    try:
        return scheme.translate(state_dict)
    except WeightsMismatch:
        raise
    except Exception as error:  # of any class: tensors are missing, or have other shapes than such a network's
        raise WeightsMismatch(
            f"these look like the weights of {scheme.whose}, but cannot be translated ({error!r}): the file is damaged "
            "or of another version of it"
        ) from error


def _warn(scheme: ForeignWeights | None, backbone: nn.Module) -> None:
    for sentence in scheme.misgivings(backbone) if scheme is not None else ():
        logger.warning("%s", sentence)


def _check_tokens(keys: Iterable[str], own: Set[str], whose: str) -> None:
    """Refuse tokens that our vision transformer has not, before the positions are taken for those of patches."""
    other = sorted(_OTHER_TOKENS & set(keys))
    if other and "cls_token" in own:
        raise WeightsMismatch(
            f"the weights of {whose} have {', '.join(other)}: tokens beside class and patches, which no "
            "build_vit_backbone has; MODEL.BACKBONE.NAME build_timm_backbone takes such networks, with timm's name for "
            "them in DEPTH"
        )


def _check_cameras(found: Mapping[str, Tensor], backbone: nn.Module, whose: str) -> None:
    """Refuse embeddings of another number of cameras than the config names.

    A foreign table has a row for each camera, ours one more, for cameras never seen: without this, one camera more in
    the file than in the config would fit, and its last camera would stand for those never seen.
    """
    ours = backbone.state_dict().get("sie_embed")
    if ours is None or "sie_embed" not in found:
        return
    cameras, named = len(found["sie_embed"]), len(ours) - 1
    if cameras != named:
        raise WeightsMismatch(
            f"the weights of {whose} know {cameras} cameras, and MODEL.BACKBONE.SIE_CAMERAS names {named}; give the "
            f"names of all {cameras}, in the order of their training"
        )


def _leave_out_projection(found: Translation, own: Set[str]) -> None:
    """Leave out CLIP's projection where the network does not return it."""
    if "projection" in found.backbone and "projection" not in own:
        del found.backbone["projection"]
        found.left_out.append("the projection of the class token: MODEL.BACKBONE.OUTPUT class has it")


def _say_what_to_set(found: Translation, own: Set[str]) -> None:
    """Note which key gives the backbone what it lacks, and will be refused for."""
    cameras = found.backbone.get("sie_embed")
    if cameras is not None and "sie_embed" not in own:
        found.notes.append(
            f"They know {len(cameras)} cameras: set MODEL.BACKBONE.WITH_SIE True, and SIE_CAMERAS to their names."
        )
    stem = "patch_embed.conv.0.weight"
    if (stem in found.backbone or stem in found.rest) and stem not in own:
        found.notes.append("They have a stem of convolutions: set MODEL.BACKBONE.CONV_STEM True.")


def _leave_out_parts(found: Translation, wanted: Mapping[str, Tensor]) -> None:
    """Leave out the parts of a foreign head of which this head has no tensor at all.

    A neck is the batch norm: the layer that makes the embedding shorter has the same name, and stays.
    """
    present = {name for key in wanted for name in key.split(".")}
    if not any(value.ndim == 1 for key, value in wanted.items() if "bottleneck" in key.split(".")):
        present.discard("bottleneck")
    for part, why in _PARTS.items():
        keys = [key for key in found.heads if part in key.split(".") and key not in wanted]
        if part not in present and keys:
            found.left_out.append(f"{part} ({len(keys)} tensors): {why}")
            for key in keys:
                del found.heads[key]


def _identity_neck(wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a fresh neck, if it only normalises; a convolution cannot be made up."""
    neck = {key: value for key, value in wanted.items() if key.startswith("bottleneck.")}
    return neck if all(value.ndim < 2 for value in neck.values()) else {}


def _replace(state_dict: MutableMapping[str, Tensor], *parts: Mapping[str, Tensor]) -> None:
    state_dict.clear()
    for part in parts:
        state_dict.update(part)


def _say(whose: str, found: Translation, head: str) -> None:
    logger.info(
        "These are the weights of %s. To the backbone: %d tensors.%s Left out: %s.%s",
        whose,
        len(found.backbone),
        f" {head}" if head else "",
        _shorten(found.left_out),
        "".join(f" {note}" for note in found.notes),
    )


def _shorten(lines: list[str], most: int = 12) -> str:
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return (", ".join(lines[:most]) + more) or "nothing"
