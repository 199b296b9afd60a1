"""Colours by name, RGB in 0..255."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CLOTH", "HAIR", "INFRARED", "RGB", "SKIN", "VISIBLE", "Dyes"]

RGB = tuple[int, int, int]

CLOTH: dict[str, RGB] = {
    "black": (38, 38, 42),
    "white": (232, 232, 228),
    "grey": (132, 134, 138),
    "red": (186, 38, 44),
    "orange": (222, 118, 36),
    "yellow": (226, 196, 62),
    "green": (54, 124, 66),
    "teal": (38, 128, 132),
    "blue": (58, 104, 188),
    "navy": (34, 44, 92),
    "purple": (112, 62, 138),
    "pink": (222, 132, 160),
    "brown": (108, 70, 44),
    "beige": (204, 182, 146),
}

SKIN: dict[str, RGB] = {
    "pale": (238, 204, 182),
    "light": (222, 178, 146),
    "olive": (190, 146, 108),
    "brown": (142, 98, 70),
    "dark": (88, 60, 46),
}

HAIR: dict[str, RGB] = {
    "black": (28, 25, 26),
    "brown": (78, 52, 36),
    "blond": (202, 166, 98),
    "red": (146, 68, 34),
    "grey": (168, 166, 164),
}


@dataclass(frozen=True, kw_only=True)
class Dyes:
    """What the names of colours look like to a camera.

    Attributes:
        cloth: by the names of `CLOTH`.
        skin: by the names of `SKIN`.
        hair: by the names of `HAIR`.
        eye: one colour for all.
        mouth: likewise.
    """

    cloth: Mapping[str, RGB]
    skin: Mapping[str, RGB]
    hair: Mapping[str, RGB]
    eye: RGB
    mouth: RGB


def _greys(levels: Mapping[str, int]) -> dict[str, RGB]:
    return {name: (level, level, level) for name, level in levels.items()}


VISIBLE = Dyes(cloth=CLOTH, skin=SKIN, hair=HAIR, eye=(38, 32, 32), mouth=(168, 82, 78))

# In near infrared most dyes are clear: what is dark by day may be bright, and skin and lips are of one brightness.
INFRARED = Dyes(
    cloth=_greys(
        {
            "black": 84,
            "white": 236,
            "grey": 152,
            "red": 204,
            "orange": 222,
            "yellow": 230,
            "green": 138,
            "teal": 118,
            "blue": 166,
            "navy": 100,
            "purple": 184,
            "pink": 226,
            "brown": 128,
            "beige": 214,
        }
    ),
    skin=_greys({"pale": 212, "light": 206, "olive": 198, "brown": 186, "dark": 170}),
    hair=_greys({"black": 46, "brown": 92, "blond": 176, "red": 138, "grey": 172}),
    eye=(30, 30, 30),
    mouth=(176, 176, 176),
)
