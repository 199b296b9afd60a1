"""Who a synthetic pedestrian is: everything that stays the same from camera to camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .groups import sample_groups
from .palette import CLOTH, HAIR, SKIN

__all__ = [
    "CHOICES",
    "VISIBLE_FROM_ANYWHERE",
    "Identity",
    "Wardrobe",
    "sample_identities",
    "sample_identity",
    "sample_wardrobe",
]

Looks = Mapping[str, tuple[str, ...]]

# attribute -> its possible values
CHOICES: Looks = MappingProxyType(
    {
        "skin": tuple(SKIN),
        "hair_style": ("bald", "short", "curly", "long", "ponytail", "bun"),
        "hair_colour": tuple(HAIR),
        "upper_cut": ("t-shirt", "long sleeve", "jacket", "coat", "dress"),
        "upper_pattern": ("plain", "horizontal stripes", "vertical stripes", "checks", "print"),
        "upper_colour": tuple(CLOTH),
        "second_colour": tuple(CLOTH),
        "lower_cut": ("trousers", "shorts", "skirt", "leggings"),
        "lower_colour": tuple(CLOTH),
        "shoes": ("shoes", "boots"),
        "shoe_colour": tuple(CLOTH),
        "bag": ("none", "backpack", "shoulder bag", "hand bag"),
        "bag_colour": tuple(CLOTH),
        "hat": ("none", "cap", "beanie", "brimmed hat"),
        "hat_colour": tuple(CLOTH),
    }
)
HEIGHT_RANGE = (1.50, 1.95)  # metres
BUILD_RANGE = (0.0, 1.0)  # slim to broad

# What a camera sees from every side; a print, for one, shows from the front alone.
VISIBLE_FROM_ANYWHERE = ("hair_style", "upper_cut", "upper_pattern", "lower_cut", "bag", "hat")
_MIN_DIFFERENCES = 4  # of those, between two people who wear the same colours
_CONTRAST = 110.0  # least distance in RGB between a garment and what is drawn on it


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The look of one person; the values of every attribute but the first two are those of `CHOICES`.

    Attributes:
        height: metres, in [1.50, 1.95]; a taller person has longer legs and, in a box of a fixed size, a smaller head.
        build: 0 (slim) to 1 (broad).
        second_colour: of the pattern, and of the shirt under an open jacket or coat.
        lower_cut: "leggings" goes with the cut "dress" and with nothing else.
    """

    height: float
    build: float
    skin: str
    hair_style: str
    hair_colour: str
    upper_cut: str
    upper_pattern: str
    upper_colour: str
    second_colour: str
    lower_cut: str
    lower_colour: str
    shoes: str
    shoe_colour: str
    bag: str
    bag_colour: str
    hat: str
    hat_colour: str

    def __post_init__(self) -> None:
        for name, (low, high) in {"height": HEIGHT_RANGE, "build": BUILD_RANGE}.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in [{low}, {high}], got {getattr(self, name)}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if (self.upper_cut == "dress") != (self.lower_cut == "leggings"):
            raise ValueError(f"a dress goes with leggings alone, got {self.upper_cut!r} with {self.lower_cut!r}")

    def differences(self, other: Identity) -> int:
        """Count the attributes of `VISIBLE_FROM_ANYWHERE` in which two people differ."""
        return sum(getattr(self, name) != getattr(other, name) for name in VISIBLE_FROM_ANYWHERE)


@dataclass(frozen=True, kw_only=True)
class Wardrobe:
    """The colours that a group of people shares, as names of `palette.CLOTH`."""

    upper: str
    second: str
    lower: str
    shoes: str
    accent: str


def sample_wardrobe(rng: np.random.Generator, looks: Looks = CHOICES) -> Wardrobe:
    """Draw clothing colours; the second and the accent colour stand out from the upper one.

    Args:
        rng: the only source of randomness.
        looks: what people wear; its "upper_colour" is where all the colours are drawn from.
    """
    names = list(looks["upper_colour"])
    upper, lower, shoes = (str(name) for name in rng.choice(names, size=3))
    second, accent = rng.choice([name for name in names if _contrast(name, upper) > _CONTRAST], size=2, replace=False)
    return Wardrobe(upper=upper, second=str(second), lower=lower, shoes=shoes, accent=str(accent))


def sample_identity(rng: np.random.Generator, wardrobe: Wardrobe | None = None, looks: Looks = CHOICES) -> Identity:
    """Draw a person.

    Args:
        rng: the only source of randomness.
        wardrobe: colours to wear; None draws them first.
        looks: attribute -> the values to draw from, of `CHOICES`; one that is named twice is drawn twice as often.
    """
    wardrobe = wardrobe or sample_wardrobe(rng, looks)
    height, build = rng.uniform(*HEIGHT_RANGE), rng.uniform(*BUILD_RANGE)
    picked = {name: str(rng.choice(choices)) for name, choices in looks.items() if not name.endswith("_colour")}
    if picked["upper_cut"] == "dress":
        picked["lower_cut"] = "leggings"
    elif picked["lower_cut"] == "leggings":
        picked["lower_cut"] = "trousers"
    return Identity(
        height=round(float(height), 3),
        build=round(float(build), 3),
        hair_colour=str(rng.choice(looks["hair_colour"])),
        upper_colour=wardrobe.upper,
        second_colour=wardrobe.second,
        lower_colour=wardrobe.lower,
        shoe_colour=wardrobe.shoes,
        bag_colour=wardrobe.accent,
        hat_colour=wardrobe.accent,
        **picked,
    )


def sample_identities(
    rng: np.random.Generator, *, count: int, group_size: int, looks: Looks = CHOICES
) -> list[Identity]:
    """Draw people in groups that wear the same colours, so that colours alone do not tell who is who.

    Within a group any two people differ in at least four attributes that every camera sees.

    Args:
        rng: the only source of randomness.
        count: number of people, at least 1.
        group_size: people who share a wardrobe, at least 1; the last group may be smaller.
        looks: as for `sample_identity`.

    Raises:
        ValueError: a number is below 1, or so many people who differ enough do not exist.
    """
    return sample_groups(
        rng,
        count=count,
        group_size=group_size,
        colours=lambda rng: sample_wardrobe(rng, looks),
        member=lambda rng, wardrobe: sample_identity(rng, wardrobe, looks),
        unlike=lambda one, other: one.differences(other) >= _MIN_DIFFERENCES,
        rule=f"differs from the others in at least {_MIN_DIFFERENCES} of {', '.join(VISIBLE_FROM_ANYWHERE)}",
    )


def _contrast(one: str, other: str) -> float:
    """Return the distance of two colours in RGB, 0 to 442."""
    return float(np.linalg.norm(np.subtract(CLOTH[one], CLOTH[other])))
