"""What a picture shows of its subject: all of it, what nothing hides, or a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .cover import Cover, sample_cover

__all__ = ["FRAMINGS", "USUAL", "Framing", "sample_framing"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What hides a subject.

    Attributes:
        occluders: whether the small ones that a shot now and then has are drawn.
        cover: what stands in front, or None.
        box: what is left of the picture, ``(left, top, right, bottom)`` in parts of its width and height.
    """

    occluders: bool = True
    cover: Cover | None = None
    box: Box = (0.0, 0.0, 1.0, 1.0)

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Return the part of a picture ``(H, W, 3)`` that lies in the box."""
        height, width = pixels.shape[:2]
        left, top, right, bottom = self.box
        return pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


USUAL = Framing()


def sample_framing(name: str, rng: np.random.Generator) -> Framing:
    """Draw a framing.

    Args:
        name: one of `FRAMINGS`: "usual", "whole" (nothing in front), "occluded" (about half of the person behind
            something or somebody), "part" (cut to a part of the body).
        rng: the only source of randomness.
    """
    if name not in FRAMINGS:
        raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}; got {name!r}")
    return FRAMINGS[name](rng)


def _occluded(rng: np.random.Generator) -> Framing:
    return Framing(occluders=False, cover=sample_cover(rng))


def _part(rng: np.random.Generator) -> Framing:
    return Framing(occluders=False, box=_sample_box(rng))


def _sample_box(rng: np.random.Generator) -> Box:
    """Draw the upper body (half of the time), the lower body, or one side, a little of it or much."""
    kind, cut, edge = rng.random(), rng.uniform(0.42, 0.62), rng.uniform(0.0, 0.14)
    if kind < 0.5:
        return edge, 0.0, 1.0 - edge, float(cut)
    if kind < 0.7:
        return edge, 1.0 - float(cut), 1.0 - edge, 1.0
    left, top, wide = rng.random() < 0.5, rng.uniform(0.0, 0.2), float(cut) + 0.08  # who is seen from the side is slim
    return (0.0, top, wide, 1.0) if left else (1.0 - wide, top, 1.0, 1.0)


FRAMINGS: Mapping[str, Callable[[np.random.Generator], Framing]] = MappingProxyType(
    {
        "usual": lambda rng: USUAL,
        "whole": lambda rng: Framing(occluders=False),
        "occluded": _occluded,
        "part": _part,
    }
)
