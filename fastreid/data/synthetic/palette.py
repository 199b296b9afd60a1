"""Colours by name, RGB in 0..255."""

from __future__ import annotations

__all__ = ["CLOTH", "HAIR", "RGB", "SKIN"]

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
