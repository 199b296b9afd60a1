"""Checks of what is in the splits at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from ..datasets.bases import IMAGE_ENDINGS
from .build import register_check
from .finding import Case, Finding, counted
from .subject import SPLITS, Subject

__all__ = ["check_published_counts", "check_splits", "check_unlisted_files"]


@register_check("no-images", "one-identity", "no-train", "no-test")
def check_splits(subject: Subject) -> Iterator[Finding]:
    """Report empty splits, and training on a single identity."""
    train, test = subject.split("train"), subject.test
    listed = [name for name in SPLITS if name in subject.splits]
    if not len(train) and not len(test):
        if len(listed) == len(SPLITS):
            yield Finding("error", "no-images", "no split has an image")
        return
    if not len(train) and "train" in listed:
        yield Finding("note", "no-train", "there are no training images: for DATASETS.TESTS only")
    if len(train) and len(set(train.pids.tolist())) == 1:
        yield Finding("error", "one-identity", "all training images show one identity; training needs at least two")
    if not len(test) and {"query", "gallery"} <= set(listed):
        yield Finding("note", "no-test", "there are no test images: for DATASETS.NAMES only")


@register_check("not-published")
def check_published_counts(subject: Subject) -> Iterator[Finding]:
    """Report where identities and images are not as many as the data set declares to be published."""
    published = getattr(subject.dataset, "statistics", None) or {}
    cases = []
    for name, split in subject.splits.items():
        found = (len(set(split.pids.tolist())), len(split))
        if any(number not in (None, own) for number, own in zip(published.get(name, ()), found)):
            cases.append(Case(text=f"{name}: {_listed(found)}, published {_listed(published[name])}"))
    if cases:
        message = "the counts are not those of the published set, so neither will be the numbers"
        yield Finding("warning", "not-published", message, len(cases), tuple(cases[: subject.most]))


def _listed(counts: Iterable[int | None]) -> str:
    nouns = ("identity", "image")
    return " and ".join(counted(count, noun) for count, noun in zip(counts, nouns) if count is not None)


@register_check("unlisted-file")
def check_unlisted_files(subject: Subject) -> Iterator[Finding]:
    """Report image files that lie beside images of the data set, but are in no split."""
    known = set(subject.paths)
    junk, others = Counter(), []
    for folder in sorted({os.path.dirname(path) for path in subject.paths}):
        for name in _image_names(folder):
            path = os.path.join(folder, name)
            if path not in known:
                pid = _junk_pid(subject, name)
                if pid is None:
                    others.append(path)
                else:
                    junk[pid] += 1
    if junk or others:
        parts = [f"{count} with the junk identity {pid}" for pid, count in sorted(junk.items())]
        parts += [f"{len(others)} others"] if junk and others else []
        count = len(others) + junk.total()
        message = f"{counted(count, 'image file')} beside listed ones, but in no split"
        message += f": {', '.join(parts)}" if parts else ""
        yield Finding("note", "unlisted-file", message, count, tuple(Case((path,)) for path in others[: subject.most]))


def _image_names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.lower().endswith(IMAGE_ENDINGS) and name[0] != ".")
    except OSError:  # the images of it are reported as missing
        return []


def _junk_pid(subject: Subject, name: str) -> int | None:
    """Return the identity in a file's name if the data set declares it to be junk."""
    pattern, junk = getattr(subject.dataset, "pattern", None), getattr(subject.dataset, "junk_pids", frozenset())
    match = pattern.match(name) if pattern is not None and junk else None
    pid = match.groupdict().get("pid") if match else None
    return next((number for number in junk if str(number) == pid), None)
