"""Test sets in which one image of each identity is drawn for the gallery."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["draw_gallery"]


def draw_gallery(pids: Sequence[int], numbers: Sequence[int], seed: int) -> list[int]:
    """Draw one image of each identity.

    Identities take turns in ascending order, and each gives ``random.Random(seed).choice`` of its images in the order
    of their numbers. So the draw is the same on every machine and rank, whatever the order of the images.

    Args:
        pids: N identities.
        numbers: N numbers that tell the images of an identity apart.
        seed: which of the possible draws.

    Returns:
        The positions of the drawn images, in ascending order of identity.

    Example:
        >>> draw_gallery([7, 7, 3, 7], [20, 10, 5, 30], seed=0)
        [2, 0]
    """
    by_pid: dict[int, list[int]] = {}
    for place in sorted(range(len(pids)), key=lambda place: (pids[place], numbers[place])):
        by_pid.setdefault(pids[place], []).append(place)
    draw = random.Random(seed)
    return [draw.choice(places) for places in by_pid.values()]
