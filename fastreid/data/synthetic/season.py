"""What people wear: subsets of `identity.CHOICES`, to be handed to `sample_identity` as its looks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .identity import CHOICES

__all__ = ["SUMMER", "WINTER"]

_LIGHT = ("white", "red", "orange", "yellow", "green", "teal", "blue", "pink", "beige")
_DARK = ("black", "grey", "navy", "purple", "brown", "teal", "white", "red", "beige")

# A value that is named twice is drawn twice as often.
SUMMER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **CHOICES,
        "upper_cut": ("t-shirt", "t-shirt", "long sleeve", "dress"),
        "lower_cut": ("trousers", "shorts", "shorts", "skirt", "leggings"),
        "shoes": ("shoes",),
        "hat": ("none", "none", "cap", "brimmed hat"),
        "upper_colour": _LIGHT,
    }
)
WINTER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **CHOICES,
        "upper_cut": ("long sleeve", "jacket", "coat", "coat"),
        "lower_cut": ("trousers", "trousers", "skirt"),
        "shoes": ("shoes", "boots", "boots"),
        "hat": ("none", "cap", "beanie", "beanie"),
        "upper_colour": _DARK,
    }
)
