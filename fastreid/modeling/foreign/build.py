"""The registry of naming schemes of other people, and what a scheme returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from torch import Tensor, nn

from ...utils.registry import Registry

__all__ = ["FOREIGN_WEIGHTS_REGISTRY", "ForeignWeights", "Translation", "recognise"]

FOREIGN_WEIGHTS_REGISTRY = Registry("FOREIGN_WEIGHTS")
"""Subclasses of :class:`ForeignWeights`, built without arguments: the names that one project gives to its tensors.

A state dict must be recognised by one of them at most, and that of a model of this library by none.
"""


@dataclass
class Translation:
    """A state dict in the names of this library; every tensor of the foreign one is in it, or in ``left_out``.

    Args:
        backbone: tensors by the backbone's own names; a vision or Swin transformer has those of timm.
        heads: tensors by the head's own names; none: the weights have no neck and no classifier.
        rest: tensors that the scheme does not know, by their foreign names; they are refused.
        left_out: what no model of ours takes, a line each, such as ``base.fc.weight (not used)``.
        notes: sentences for the log.
    """

    backbone: dict[str, Tensor] = field(default_factory=dict)
    heads: dict[str, Tensor] = field(default_factory=dict)
    rest: dict[str, Tensor] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class ForeignWeights(ABC):
    """The names that one project gives to the tensors of a network."""

    # Whose they are, for the log.
    whose: str

    @abstractmethod
    def recognises(self, keys: Set[str]) -> bool:
        """Tell whether these are the keys of such a state dict, without the ``module.`` of data parallelism."""

    @abstractmethod
    def translate(self, state_dict: Mapping[str, Tensor]) -> Translation:
        """Translate a state dict that :meth:`recognises` accepts; it is not changed.

        Raises:
            WeightsMismatch: if it belongs to a network that this library does not have, with the reason.
        """

    def misgivings(self, backbone: nn.Module) -> list[str]:
        """Return sentences on what ``backbone`` computes otherwise than theirs although every tensor fits."""
        return []


def recognise(keys: Iterable[str]) -> ForeignWeights | None:
    """Return the scheme that a state dict with these keys follows, or ``None``.

    Raises:
        RuntimeError: if several schemes claim it.
    """
    known = frozenset(keys)
    schemes = [FOREIGN_WEIGHTS_REGISTRY.get(name)() for name in sorted(FOREIGN_WEIGHTS_REGISTRY)]
    found = [scheme for scheme in schemes if scheme.recognises(known)]
    if len(found) > 1:
        names = ", ".join(type(scheme).__name__ for scheme in found)
        raise RuntimeError(
            f"{names} of FOREIGN_WEIGHTS all recognise a state dict with the key {min(known)!r}; recognises() of at "
            "least one of them must ask for more"
        )
    return found[0] if found else None
