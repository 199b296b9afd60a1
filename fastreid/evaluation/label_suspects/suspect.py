"""What a suspect is, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["DUPLICATE", "KINDS", "ONE_PERSON", "TWO_PEOPLE", "WRONG_LABEL", "Match", "Suspect", "describe"]

WRONG_LABEL, TWO_PEOPLE, ONE_PERSON, DUPLICATE = "wrong_label", "two_people", "one_person", "near_duplicate"

KINDS = {
    WRONG_LABEL: "images that do not fit their identity, and fit another one",
    TWO_PEOPLE: "an identity whose images fall into two groups",
    ONE_PERSON: "two identities that are as close as one",
    DUPLICATE: "nearly the same picture in two splits, or under two identities",
}
"""The kinds of suspects, and what each means."""


@dataclass(frozen=True)
class Match:
    """An image that is evidence, seen from the first image of a suspect.

    Args:
        image: its place.
        closeness: 0: as close as images of two people usually are; 1: as images of one person usually are.
        cosine: of the two features.
    """

    image: int
    closeness: float
    cosine: float


@dataclass(frozen=True)
class Suspect:
    """Images whose labels the features contradict. Images are named by their place among the features.

    Args:
        kind: a name of :data:`KINDS`.
        score: how strongly; the same scale for all kinds, see ``find_label_suspects``.
        images: whose label is in doubt, the most doubtful first. Of ``two_people`` the smaller group, of ``one_person``
            the smaller identity, of ``near_duplicate`` both sides, the closest pair first.
        pids: the identities that they are labelled with; of ``one_person`` and ``near_duplicate`` those of both
            sides, that of ``images[0]`` first, and one alone if both sides have the same.
        suggested: the identity that they seem to belong to, if one can be named.
        fit_own: how close ``images`` are to their identity as it is labelled: to its other images; of ``one_person``
            how close the images of each of the two are to each other; of ``near_duplicate`` NaN.
        fit_other: how close they are to the other side: to the identity that they seem to belong to; of ``two_people``
            to each other; of ``near_duplicate`` the cosine of the closest pair.
        count: how many images there are in all: of ``wrong_label`` and ``two_people`` in the identity, of
            ``one_person`` in both, of ``near_duplicate`` how many pairs.
        own: the images of its own identity that are closest to ``images[0]``; of ``two_people`` of the other group.
        other: the images of the other side that are closest to ``images[0]``.
    """

    kind: str
    score: float
    images: tuple[int, ...]
    pids: tuple[int, ...]
    suggested: int | None
    fit_own: float
    fit_other: float
    count: int
    own: tuple[Match, ...] = ()
    other: tuple[Match, ...] = ()


def describe(suspect: Suspect, name: Callable[[int], str] = str) -> str:
    """Say in a sentence why a suspect is one.

    Args:
        suspect: what is to be told.
        name: what to call a pid.

    Example:
        >>> describe(Suspect("wrong_label", 0.95, (7,), (3,), 5, 0.08, 0.98, 12))
        '1 of 12 images of 3 fits 5 (0.98), not 3 (0.08)'
    """
    first = name(suspect.pids[0])
    many = len(suspect.images) > 1
    part = f"{len(suspect.images)} of {suspect.count} images of {first}"
    own, other = f"{suspect.fit_own:.2f}", f"{suspect.fit_other:.2f}"
    if suspect.kind == WRONG_LABEL:
        return f"{part} {'fit' if many else 'fits'} {name(suspect.suggested)} ({other}), not {first} ({own})"
    if suspect.kind == TWO_PEOPLE:
        rest = "" if suspect.suggested is None else f"; they fit {name(suspect.suggested)}"
        return f"{part} fit each other ({other}), not the rest ({own}){rest}"
    if suspect.kind == ONE_PERSON:
        second = name(suspect.pids[1])
        return f"the {suspect.count} images of {first} and {second} fit across the two ({other}) as within ({own})"
    labels = f"both {first}" if len(suspect.pids) == 1 else f"{first} and {name(suspect.pids[1])}"
    pairs = "" if suspect.count == 1 else f", and {suspect.count - 1} more such pairs"
    return f"nearly the same picture (cosine {suspect.fit_other:.3f}), labelled {labels}{pairs}"
