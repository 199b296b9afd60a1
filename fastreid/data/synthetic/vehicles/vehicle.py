"""Which vehicle it is: everything that stays the same from camera to camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..groups import sample_groups
from .paintwork import LACQUER, contrast
from .shapes import SHAPES

__all__ = [
    "CHOICES",
    "STRETCH_RANGE",
    "VISIBLE_FROM_ANYWHERE",
    "Livery",
    "Vehicle",
    "sample_vehicle",
    "sample_vehicles",
]

# attribute -> its possible values
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "kind": tuple(SHAPES),
        "colour": tuple(LACQUER),
        "second_colour": tuple(LACQUER),
        "finish": ("plain", "two-tone", "contrast roof", "stripes", "side band"),
        "roof": ("bare", "rails", "box", "sign", "hatch"),
        "trim": ("painted", "black", "chrome"),
        "glass": ("clear", "tinted", "bronze"),
        "rims": ("steel", "star", "spokes", "cap"),
        "lights": ("round", "wide", "slim", "tall"),
        "sticker": ("none", "dot", "square", "lettering", "chevrons"),
        "sticker_colour": tuple(LACQUER),
        "plate": ("white", "yellow", "blue"),
    }
)
STRETCH_RANGE = (0.94, 1.06)  # length, relative to others of the kind

# What a camera sees from every side; lights, for one, are others in front than behind.
VISIBLE_FROM_ANYWHERE = ("kind", "finish", "roof", "trim", "glass", "sticker")
_MIN_DIFFERENCES = 3  # of those, between two vehicles of the same colours
_CONTRAST = 110.0  # least distance in RGB between the lacquer and what is painted on it


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """The look of one vehicle; the values of every attribute but the first are those of `CHOICES`.

    Attributes:
        stretch: length relative to others of its kind, in [0.94, 1.06].
        second_colour: of a finish that is not plain, and of a truck's box.
        trim: of the bumpers and sills.
        sticker: on the sides and behind.
    """

    stretch: float
    kind: str
    colour: str
    second_colour: str
    finish: str
    roof: str
    trim: str
    glass: str
    rims: str
    lights: str
    sticker: str
    sticker_colour: str
    plate: str

    def __post_init__(self) -> None:
        low, high = STRETCH_RANGE
        if not low <= self.stretch <= high:
            raise ValueError(f"stretch must lie in [{low}, {high}], got {self.stretch}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")

    def differences(self, other: Vehicle) -> int:
        """Count the attributes of `VISIBLE_FROM_ANYWHERE` in which two vehicles differ."""
        return sum(getattr(self, name) != getattr(other, name) for name in VISIBLE_FROM_ANYWHERE)


@dataclass(frozen=True, kw_only=True)
class Livery:
    """The colours that a group of vehicles shares, as names of `paintwork.LACQUER`."""

    main: str
    second: str
    sticker: str


def sample_livery(rng: np.random.Generator) -> Livery:
    """Draw colours; the second and the sticker's stand out from the main one."""
    main = str(rng.choice(list(LACQUER)))
    second, sticker = rng.choice([name for name in LACQUER if contrast(name, main) > _CONTRAST], size=2, replace=False)
    return Livery(main=main, second=str(second), sticker=str(sticker))


def sample_vehicle(rng: np.random.Generator, livery: Livery | None = None) -> Vehicle:
    """Draw a vehicle.

    Args:
        rng: the only source of randomness.
        livery: its colours; None draws them first.
    """
    livery = livery or sample_livery(rng)
    stretch = round(float(rng.uniform(*STRETCH_RANGE)), 3)
    picked = {name: str(rng.choice(choices)) for name, choices in CHOICES.items() if not name.endswith("colour")}
    return Vehicle(
        stretch=stretch,
        colour=livery.main,
        second_colour=livery.second,
        sticker_colour=livery.sticker,
        **picked,
    )


def sample_vehicles(rng: np.random.Generator, *, count: int, group_size: int) -> list[Vehicle]:
    """Draw vehicles in groups of the same colours, so that colours alone do not tell which is which.

    Within a group any two differ in at least three attributes that every camera sees.

    Args:
        rng: the only source of randomness.
        count: number of vehicles, at least 1.
        group_size: vehicles that share a livery, at least 1; the last group may be smaller.

    Raises:
        ValueError: a number is below 1, or so many vehicles that differ enough do not exist.
    """
    return sample_groups(
        rng,
        count=count,
        group_size=group_size,
        colours=sample_livery,
        member=sample_vehicle,
        unlike=lambda one, other: one.differences(other) >= _MIN_DIFFERENCES,
        rule=f"differs from the others in at least {_MIN_DIFFERENCES} of {', '.join(VISIBLE_FROM_ANYWHERE)}",
    )
