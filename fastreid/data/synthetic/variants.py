"""The synthetic sets: which subjects, seen by which cameras, framed how. All from one painter, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from .camera import CAMERAS, Camera
from .framing import FRAMINGS
from .identity import CHOICES, Identity, Looks, sample_identities, sample_identity
from .painter import PAINTER_VERSION
from .season import SUMMER, WINTER
from .variant_cameras import CITY_A_CAMERAS, CITY_B_CAMERAS, NIGHT_CAMERAS, ROAD_CAMERAS
from .vehicles import Vehicle, sample_vehicle, sample_vehicles

__all__ = ["SYNTHREID", "VARIANTS", "Variant"]

_PEOPLE = "Pedestrians painted by fastreid for trying out person re-identification; no picture shows a real person."
_VEHICLES = "Vehicles painted by fastreid for trying out vehicle re-identification; no picture shows a real one."
_CUT = "cut, pattern, hair and what\nthey carry"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One synthetic set, but for its size.

    Attributes:
        name: of the set.
        version: part of its folder's name; raise it with every change that alters a picture of it.
        people: its number among those with people of their own; sets with one number show the same people.
        about: what it is, a sentence or more, for its README.
        differ: in what subjects of the same colours differ, likewise.
        vehicles: whether it shows vehicles rather than people.
        looks: what people wear, see `sample_identity`.
        cameras: all of them, numbered from 1.
        query_framing: a name of `FRAMINGS`; training images are framed as usual.
        gallery_framing: likewise.
        query_cameras: numbers of the cameras that queries come from.
        gallery_cameras: numbers of the cameras of the gallery.
    """

    name: str
    version: int = 1
    people: int = 0
    about: str = _PEOPLE
    differ: str = _CUT
    vehicles: bool = False
    looks: Looks = field(default_factory=lambda: CHOICES)
    cameras: tuple[Camera, ...] = CAMERAS
    query_framing: str = "usual"
    gallery_framing: str = "usual"
    query_cameras: tuple[int, ...] = ()
    gallery_cameras: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        numbers = tuple(camera.number for camera in self.cameras)
        if numbers != tuple(range(1, len(numbers) + 1)):
            raise ValueError(f"cameras must be numbered 1, 2, 3 ..., got {numbers}")
        for name in ("query_cameras", "gallery_cameras"):
            if not getattr(self, name):
                object.__setattr__(self, name, numbers)
            elif not set(getattr(self, name)) <= set(numbers):
                raise ValueError(f"{name} must be among {numbers}, got {getattr(self, name)}")
        for name in ("query_framing", "gallery_framing"):
            if getattr(self, name) not in FRAMINGS:
                raise ValueError(f"{name} must be one of {', '.join(FRAMINGS)}; got {getattr(self, name)!r}")

    def subjects(self, rng: np.random.Generator, *, count: int, group_size: int) -> list[Identity] | list[Vehicle]:
        """Draw who appears, in groups of the same colours."""
        if self.vehicles:
            return sample_vehicles(rng, count=count, group_size=group_size)
        return sample_identities(rng, count=count, group_size=group_size, looks=self.looks)

    def stranger(self, rng: np.random.Generator) -> Identity | Vehicle:
        """Draw a distractor."""
        return sample_vehicle(rng) if self.vehicles else sample_identity(rng, looks=self.looks)


SYNTHREID = Variant(name="SynthReID", version=PAINTER_VERSION)

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            SYNTHREID,
            Variant(
                name="SynthOccluded",
                about=f"{_PEOPLE}\n"
                "The people and cameras of SynthReID; something or somebody hides about half of the person in every\n"
                "query, and nothing hides anybody in the gallery.",
                query_framing="occluded",
                gallery_framing="whole",
            ),
            Variant(
                name="SynthPartial",
                about=f"{_PEOPLE}\n"
                "The people and cameras of SynthReID; every query is cut to a part of the person, and nothing hides\n"
                "anybody in the gallery.",
                query_framing="part",
                gallery_framing="whole",
            ),
            Variant(
                name="SynthNight",
                about=f"{_PEOPLE}\n"
                "The people of SynthReID; cameras 4 to 6 see by night, in infrared. Queries come from these, the\n"
                "gallery from cameras 1 to 3, by day.",
                cameras=NIGHT_CAMERAS,
                query_cameras=(4, 5, 6),
                gallery_cameras=(1, 2, 3),
            ),
            Variant(
                name="SynthCityA",
                people=1,
                about=f"{_PEOPLE}\nA city in the south in summer; SynthCityB is another one, in the north in winter.",
                looks=SUMMER,
                cameras=CITY_A_CAMERAS,
            ),
            Variant(
                name="SynthCityB",
                people=2,
                about=f"{_PEOPLE}\nA city in the north in winter; SynthCityA is another one, in the south in summer.",
                looks=WINTER,
                cameras=CITY_B_CAMERAS,
            ),
            Variant(
                name="SynthVehicle",
                people=3,
                about=_VEHICLES,
                differ="kind, finish, roof, trim,\nglass and stickers",
                vehicles=True,
                cameras=ROAD_CAMERAS,
            ),
        )
    }
)
"""By name; `SYNTHREID` is the first."""
