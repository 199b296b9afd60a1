"""List the images of any data set, also of one that does not let itself be listed."""

from __future__ import annotations

import logging
import numbers
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..datasets.build import build_dataset
from .finding import Case, Finding
from .subject import SPLITS

__all__ = ["LOADING_KINDS", "Loaded", "load_splits"]

LOADING_KINDS = ("cannot-build", "cannot-list", "bad-item", "data-set-warning")
"""Kinds of the findings that :func:`load_splits` returns."""

_LOGGER = __name__.rpartition(".inspect.")[0]  # the data room's, whatever the package is called
_EXPECTED = (ImportError, KeyError, OSError, RuntimeError, ValueError)  # with a message for the owner of the data

Item = tuple[Any, ...]


@dataclass(frozen=True)
class Loaded:
    """A data set, as far as it could be had.

    Args:
        dataset: what was built; ``None``: nothing.
        splits: by name, those that could be listed: well-formed ``(img_path, pid, camid)``.
        findings: about the rest.
    """

    dataset: Any
    splits: dict[str, list[Item]]
    findings: list[Finding]


def load_splits(source: Any, *, root: str = "", options: Mapping[str, Any] | None = None, most: int = 10) -> Loaded:
    """Build a data set and list its splits; whatever fails or is logged on the way becomes a finding.

    Args:
        source: a name as in ``DATASETS.NAMES``, or a data set.
        root: ``DATASETS.ROOT``.
        options: what ``DATASETS.OPTIONS`` says of it.
        most: cases that a finding lists.
    """
    findings: list[Finding] = []
    splits: dict[str, list[Item]] = {}
    with _warnings_of_the_data_room() as warnings:
        dataset = source
        if isinstance(source, str):
            dataset = _attempt(
                "cannot-build",
                "the data set cannot be built",
                lambda: build_dataset(source, root=root, chosen=options),
                findings,
            )
        for name in SPLITS if dataset is not None else ():
            what = f"{name} cannot be listed"
            items = _attempt("cannot-list", what, lambda name=name: list(getattr(dataset, name)), findings)
            if items is not None:
                splits[name] = _well_formed(name, items, findings, most)
    findings += [Finding("warning", "data-set-warning", warning) for warning in dict.fromkeys(warnings)]
    return Loaded(dataset, splits, findings)


def _attempt(kind: str, what: str, action: Callable[[], Any], findings: list[Finding]) -> Any:
    """Return what ``action`` does, or ``None`` and a finding."""
    try:
        return action()
    except Exception as error:  # a data set of a user's own may raise anything
        # str() of a KeyError puts quotes around the message
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if not isinstance(error, _EXPECTED):
            last = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__} in {last.filename}, line {last.lineno}: {text}"
        findings.append(Finding("error", kind, f"{what}: {text}"))
        return None


def _well_formed(split: str, items: Sequence[Any], findings: list[Finding], most: int) -> list[Item]:
    """Leave out, and report, what is no ``(img_path, pid, camid)``."""
    faults = [_fault(split, item) for item in items]
    bad = [Case(text=f"item {place}: {fault}") for place, fault in enumerate(faults) if fault]
    if bad:
        message = (
            f"{len(bad)} of {len(items)} items of {split} are not (img_path, pid, camid), as a data set must return "
            "them, and are left out of all other checks"
        )
        findings.append(Finding("error", "bad-item", message, len(bad), tuple(bad[:most])))
    return [item for item, fault in zip(items, faults, strict=True) if not fault]


def _fault(split: str, item: Any) -> str:
    """Say what is wrong with an item; nothing if nothing is."""
    if not isinstance(item, tuple | list) or len(item) < 3:
        return f"{item!r} has no three parts"
    path, pid, camid = item[:3]
    if not isinstance(path, str | os.PathLike):
        return f"the path is {path!r}"
    kinds = (str, numbers.Integral) if split == "train" else (numbers.Integral,)
    for what, value in (("pid", pid), ("camid", camid)):
        if not isinstance(value, kinds):
            return f"the {what} is {value!r}; it must be {'a str or an int' if split == 'train' else 'an int'}"
    return ""


@contextmanager
def _warnings_of_the_data_room() -> Iterator[list[str]]:
    """Collect what is logged as a warning or worse; without logging set up, it is not shown in between then."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
