"""Checks for images that are there more than once, by their bytes or by their looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from .build import register_check
from .finding import Case, Finding, Severity, counted
from .looks import near_groups
from .subject import SPLITS, Subject

__all__ = ["check_copies", "check_near_copies"]

_TRAIN, _QUERY, _GALLERY = range(len(SPLITS))
_MOST_PATHS = 6  # of a group, in a case


class _Entry(NamedTuple):
    """An image of a split. Two entries of a group are copies of each other if their units differ."""

    split: int
    pid: int
    cam: int
    file: int
    unit: int


_Group = list[_Entry]


class _Relation(NamedTuple):
    """What is wrong with a group of copies if it ``holds``."""

    kind: str
    severity: Severity
    message: str
    holds: Callable[[_Group], bool]


@register_check("image-in-train-and-test", "image-of-two-identities", "image-in-query-and-gallery", "repeated-image")
def check_copies(subject: Subject) -> Iterator[Finding]:
    """Report images with the same bytes, or listed several times.

    An image is known by its path and, where images were read, by its bytes.
    """
    relations = [
        _Relation(check_copies.kinds[0], "error", _LEAK, _is_leak),
        _Relation(check_copies.kinds[1], "error", _CONFLICT, _has_two_identities),
        # by the protocol of CUHK03 all test images are both
        *_found(
            check_copies.kinds[2],
            subject.protocol,
            by_one_camera="note" if subject.protocol == "cuhk03" else "warning",
            otherwise="error",
        ),
        _Relation(check_copies.kinds[3], "warning", _REPEATED, _is_repeated),
    ]
    groups = _groups(subject, _contents(subject), units=None)
    yield from _report(subject, groups, relations, "of equal images")


@register_check(
    "near-copy-in-train-and-test", "near-copy-of-two-identities", "near-copy-in-query-and-gallery", "near-copy"
)
def check_near_copies(subject: Subject) -> Iterator[Finding]:
    """Report images that look the same although their bytes differ: scaled, encoded anew, or frames of a still."""
    if subject.facts is None:
        return
    contents = _contents(subject)
    usable = np.flatnonzero(subject.readable & ~subject.facts["blank"])
    files = usable[np.unique(contents[usable], return_index=True)[1]]  # one of each content
    looks = near_groups(subject.facts["gradients"][files], subject.facts["colours"][files])
    look = np.arange(len(subject.paths))  # by content: one that looks like it, or itself
    look[contents[files]] = contents[files][looks]
    relations = [
        _Relation(check_near_copies.kinds[0], "error", _LEAK, _is_leak),
        _Relation(check_near_copies.kinds[1], "warning", _CONFLICT, _has_two_identities),
        *_found(check_near_copies.kinds[2], subject.protocol, by_one_camera="note", otherwise="warning"),
        _Relation(check_near_copies.kinds[3], "note", _REPEATED, _is_repeated),
    ]
    yield from _report(
        subject, _groups(subject, look[contents], units=contents), relations, "of images that look the same"
    )


_LEAK = "in training and in the test, which makes numbers too good; keep them in one of the two"
_CONFLICT = "with several identities, of which at most one is right"
_REPEATED = "within one identity of one split"


def _found(kind: str, protocol: str, *, by_one_camera: Severity, otherwise: Severity) -> list[_Relation]:
    """Return how bad it is that a query is in the gallery too, by the protocol."""
    if protocol in ("market1501", "cuhk03"):
        left_out = f"as query and in the gallery, by one camera; {protocol} leaves them out, cameraless would not"
        itself = "as query and in the gallery, by different cameras: the query finds itself"
        return [
            _Relation(kind, by_one_camera, left_out, partial(_is_found, same_camera=True)),
            _Relation(kind, otherwise, itself, partial(_is_found, same_camera=False)),
        ]
    itself = "as query and in the gallery: the query finds itself"
    by = "file" if protocol == "leave_one_out" else "unit"  # which takes an image that is in both once
    return [_Relation(kind, otherwise, itself, partial(_is_found, by=by))]


def _contents(subject: Subject) -> np.ndarray:
    """Number the files by their bytes, ``(F,)``; those that cannot be told apart by bytes, by their path."""
    contents = np.arange(len(subject.paths))
    if subject.facts is None:
        return contents
    known = subject.readable & ~subject.facts["blank"]
    first, inverse = np.unique(subject.facts["digest"][known], axis=0, return_index=True, return_inverse=True)[1:]
    contents[known] = np.flatnonzero(known)[first][inverse.reshape(-1)]
    return contents


def _groups(subject: Subject, labels: np.ndarray, *, units: np.ndarray | None) -> list[_Group]:
    """Put images with equal labels together, where these are several units.

    Args:
        subject: what is looked at.
        labels: ``(F,)``.
        units: ``(F,)``; ``None``: each image of a split is one.
    """
    images = subject.everything
    own = labels[images.files]  # (N,)
    unit = np.arange(len(images)) if units is None else units[images.files]  # (N,)
    pairs = np.unique(np.stack([own, unit]), axis=1)
    values, counts = np.unique(pairs[0], return_counts=True)
    places = np.flatnonzero(np.isin(own, values[counts > 1]))
    columns = (subject.everything_split, images.pids, images.cams, images.files, unit)
    groups: dict[int, _Group] = defaultdict(list)
    for label, *entry in zip(own[places].tolist(), *(column[places].tolist() for column in columns)):
        groups[label].append(_Entry(*entry))
    return list(groups.values())


def _are_several(*parts: Iterable[int]) -> bool:
    """Tell whether all parts have units, and together more than one."""
    parts = [set(part) for part in parts]
    return all(parts) and len(set().union(*parts)) > 1


def _is_leak(group: _Group) -> bool:
    train = (entry.unit for entry in group if entry.split == _TRAIN)
    return _are_several(train, (entry.unit for entry in group if entry.split != _TRAIN))


def _has_two_identities(group: _Group) -> bool:
    sides = ([entry for entry in group if (entry.split == _TRAIN) is train] for train in (True, False))
    return any(len({entry.pid for entry in side}) > 1 and _are_several(entry.unit for entry in side) for side in sides)


def _is_found(group: _Group, *, same_camera: bool | None = None, by: str = "unit") -> bool:
    """Tell whether a query and a gallery image of one identity are copies; perhaps only with equal or other cameras."""
    queries = [entry for entry in group if entry.split == _QUERY]
    gallery = [entry for entry in group if entry.split == _GALLERY]
    return any(
        query.pid == other.pid
        and getattr(query, by) != getattr(other, by)
        and (same_camera is None or (query.cam == other.cam) is same_camera)
        for query in queries
        for other in gallery
    )


def _is_repeated(group: _Group) -> bool:
    units = defaultdict(set)
    for entry in group:
        units[entry.split, entry.pid].add(entry.unit)
    return any(len(own) > 1 for own in units.values())


def _report(subject: Subject, groups: list[_Group], relations: list[_Relation], which: str) -> Iterator[Finding]:
    for relation in relations:
        if relation.holds is _is_leak and subject.trains_on_its_test:
            continue  # each image is in both, which has a finding of its own
        found = [group for group in groups if relation.holds(group)]
        if found:
            message = f"{counted(len(found), 'group')} {which} {relation.message}"
            cases = tuple(_case(subject, group) for group in found[: subject.most])
            yield Finding(relation.severity, relation.kind, message, len(found), cases)


def _case(subject: Subject, group: _Group) -> Case:
    files = list(dict.fromkeys(entry.file for entry in group))
    labels = dict.fromkeys(f"{SPLITS[entry.split]} {subject.identities[entry.pid]}" for entry in group)
    more = f" (of {len(files)})" if len(files) > _MOST_PATHS else ""
    return Case(tuple(subject.paths[file] for file in files[:_MOST_PATHS]), ", ".join(labels) + more)
