"""Draw subjects in groups that share their colours, so that colours alone do not tell who is who."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

__all__ = ["sample_groups"]

_MAX_DRAWS = 1000  # per subject, before a group counts as too large

Subject = TypeVar("Subject")
Colours = TypeVar("Colours")


def sample_groups(
    rng: np.random.Generator,
    *,
    count: int,
    group_size: int,
    colours: Callable[[np.random.Generator], Colours],
    member: Callable[[np.random.Generator, Colours], Subject],
    unlike: Callable[[Subject, Subject], bool],
    rule: str,
) -> list[Subject]:
    """Draw groups of subjects that differ in all but their colours.

    Args:
        rng: the only source of randomness.
        count: number of subjects, at least 1.
        group_size: subjects in a row with the same colours, at least 1; the last group may be smaller.
        colours: draws what a group shares.
        member: draws one subject with it.
        unlike: whether two subjects may be in one group.
        rule: `unlike` in words, for the error.

    Raises:
        ValueError: a number is below 1, or so many subjects that are unlike each other do not exist.
    """
    if count < 1 or group_size < 1:
        raise ValueError(f"count and group_size must be at least 1, got {count} and {group_size}")
    subjects: list[Subject] = []
    while len(subjects) < count:
        shared = colours(rng)
        group: list[Subject] = []
        while len(group) < min(group_size, count - len(subjects)):
            for _ in range(_MAX_DRAWS):
                drawn = member(rng, shared)
                if all(unlike(drawn, other) for other in group):
                    break
            else:
                raise ValueError(f"found no number {len(group) + 1} of a group who {rule}; use a smaller group_size")
            group.append(drawn)
        subjects += group
    return subjects
