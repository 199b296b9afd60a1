"""Take in the state dict of a network that is not inside a model of this library."""

from __future__ import annotations

import logging

from torch import Tensor, nn

__all__ = ["adopt_bare_network"]

logger = logging.getLogger(__name__)

# What such a network has behind its feature map, by the names that torchvision and torchreid use.
_BEHIND = ("fc.", "classifier.")


def adopt_bare_network(state_dict: dict[str, Tensor], prefix: str, backbone: nn.Module, heads: nn.Module) -> None:
    """Rename, in place, the keys of a bare network to those of a model, and say what became of them.

    A state dict is one of a bare network if it knows no ``backbone.`` and no ``heads.``, but names of the backbone's
    own tensors. These become the backbone's. An embedding layer ``fc`` becomes the head's, if that has the same; a
    ``classifier`` becomes the head's if it is as wide; both are left out otherwise. A neck that only normalises, which
    such a network has none of, starts as the identity. Everything else stays, for the caller to refuse.

    Args:
        state_dict: tensors by key, changed.
        prefix: of the model's keys.
        backbone: the model's.
        heads: the model's.
    """
    own = backbone.state_dict().keys()
    in_a_model = (f"{prefix}backbone.", f"{prefix}heads.")
    if any(key.startswith(in_a_model) for key in state_dict) or not own & state_dict.keys():
        return
    wanted = heads.state_dict()
    adopted: dict[str, Tensor] = {}
    left_out: list[str] = []
    for key in list(state_dict):
        if key in own:
            adopted[f"{prefix}backbone.{key}"] = state_dict.pop(key)
        elif key.startswith(_BEHIND):
            value = state_dict.pop(key)
            target = "weight" if key == "classifier.weight" else key
            if target in wanted and wanted[target].shape[1:] == value.shape[1:]:
                adopted[f"{prefix}heads.{target}"] = value
            else:
                left_out.append(f"{key} {tuple(value.shape)}")
    state_dict.update(adopted)
    neck = {key: value for key, value in wanted.items() if key.startswith("bottleneck.")}
    fresh_neck = bool(neck) and all(value.ndim < 2 for value in neck.values())  # a norm, no convolution
    if fresh_neck:
        state_dict.update((f"{prefix}heads.{key}", value) for key, value in neck.items())
    behind = sorted(key for key in adopted if key.startswith(f"{prefix}heads."))
    logger.info(
        "These are the weights of a bare network. To the backbone: %d tensors. To the head: %s.%s Left out: %s.",
        len(adopted) - len(behind),
        ", ".join(behind) or "nothing",
        " The neck starts as the identity." if fresh_neck else "",
        ", ".join(left_out) or "nothing",
    )
    if any(line.startswith("fc.") for line in left_out) and "fc.0.weight" not in wanted:
        logger.info("MODEL.HEADS.FC_DIM would give the head the embedding layer fc, if they were trained with one")
