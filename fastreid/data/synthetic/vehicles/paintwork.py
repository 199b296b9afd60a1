"""Colours of vehicles by name, RGB in 0..255."""

from __future__ import annotations

import numpy as np

from ..palette import RGB

__all__ = ["CHROME", "GLASS", "HEADLIGHT", "LACQUER", "PLATE", "PLASTIC", "TAILLIGHT", "TYRE", "contrast"]

LACQUER: dict[str, RGB] = {
    "white": (234, 234, 232),
    "silver": (178, 182, 186),
    "grey": (104, 108, 114),
    "black": (36, 37, 42),
    "red": (184, 32, 36),
    "maroon": (104, 28, 40),
    "orange": (224, 120, 34),
    "yellow": (232, 196, 48),
    "green": (44, 112, 66),
    "turquoise": (56, 156, 164),
    "blue": (44, 96, 184),
    "navy": (32, 44, 92),
    "brown": (104, 76, 54),
    "beige": (206, 190, 156),
}
GLASS: dict[str, RGB] = {"clear": (136, 158, 172), "tinted": (34, 38, 46), "bronze": (122, 92, 62)}
PLATE: dict[str, RGB] = {"white": (236, 236, 230), "yellow": (238, 204, 60), "blue": (48, 82, 160)}
CHROME: RGB = (206, 210, 214)
PLASTIC: RGB = (44, 45, 48)
TYRE: RGB = (28, 28, 30)
HEADLIGHT: RGB = (240, 240, 226)
TAILLIGHT: RGB = (176, 24, 26)


def contrast(one: str, other: str) -> float:
    """Return the distance of two lacquers in RGB, 0 to 442."""
    return float(np.linalg.norm(np.subtract(LACQUER[one], LACQUER[other])))
