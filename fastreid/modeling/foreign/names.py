"""What the schemes share: renaming by rules, and the parts that several projects call alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import Tensor

from .build import Translation

__all__ = ["Rules", "leave_out", "neck_and_classifier", "renamed", "take_renamed"]

# Patterns of whole keys, and what they become, with the pattern's groups as \1, \2 ...
Rules = Sequence[tuple[str, str]]


def renamed(key: str, rules: Rules) -> str | None:
    r"""Return what the first rule that fits makes of a key, or ``None``.

    Example:
        >>> renamed("ln_1.weight", [(r"ln_(\d)\.(.+)", r"norm\1.\2")])
        'norm1.weight'
    """
    for pattern, replacement in rules:
        found = re.fullmatch(pattern, key)
        if found:
            return found.expand(replacement)
    return None


def take_renamed(rest: dict[str, Tensor], prefix: str, rules: Rules) -> dict[str, Tensor]:
    """Move the tensors below a prefix that a rule fits out of ``rest``; return them by their new names."""
    taken = {}
    for key in [key for key in rest if key.startswith(prefix)]:
        new = renamed(key.removeprefix(prefix), rules)
        if new is not None:
            taken[new] = rest.pop(key)
    return taken


def leave_out(translation: Translation, prefixes: str | Iterable[str], why: str) -> None:
    """Move what begins with one of the prefixes from ``rest`` to ``left_out``, a line for each prefix."""
    for prefix in (prefixes,) if isinstance(prefixes, str) else prefixes:
        keys = [key for key in translation.rest if key.startswith(prefix)]
        if keys:
            what = keys[0] if len(keys) == 1 else f"{prefix}* ({len(keys)} tensors)"
            translation.left_out.append(f"{what}: {why}")
        for key in keys:
            del translation.rest[key]


def neck_and_classifier(translation: Translation) -> None:
    """Move ``bottleneck``, ``fcneck`` and ``classifier`` of the rest to the head.

    This is what strong-baseline, TransReID and those who began with it call the batch norm of the neck, an optional
    linear layer before it, and the classifier.
    """
    rest, heads = translation.rest, translation.heads
    reduction = rest.pop("fcneck.weight", None)  # (D, feat_dim)
    norm = 0
    if reduction is not None:
        heads["bottleneck.0.weight"] = reduction[:, :, None, None]  # a 1 x 1 convolution
        norm = 1
    heads.update(take_renamed(rest, "bottleneck.", [(r"(\w+)", rf"bottleneck.{norm}.\1")]))
    heads.update(take_renamed(rest, "classifier.", [("weight", "weight")]))
