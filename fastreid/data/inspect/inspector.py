"""The doctor: make every check of a data set, and report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ..fingerprint import dataset_fingerprint
from .build import CHECK_REGISTRY
from .finding import SEVERITIES, Finding
from .loading import LOADING_KINDS, Loaded, load_splits
from .queries import PROTOCOLS, resolve_protocol
from .report import Report
from .scan import scan_images
from .subject import Subject, label_splits
from .summary import content_fingerprint, count_cameras, count_images, count_queries, count_splits, spread

__all__ = ["inspect_dataset", "known_kinds"]


def known_kinds() -> list[str]:
    """Return the kinds of all findings that there may be, in the order of the checks."""
    return [*LOADING_KINDS, *chain.from_iterable(CHECK_REGISTRY.get(name).kinds for name in CHECK_REGISTRY)]


def inspect_dataset(
    source: Any,
    *,
    root: str = "",
    options: Mapping[str, Any] | None = None,
    protocol: str = "auto",
    size: tuple[int, int] = (256, 128),
    read_images: bool = True,
    workers: int | None = None,
    most: int = 10,
    ignore: Collection[str] = (),
) -> Report:
    """Make every registered check of a data set.

    Whatever is wrong with the data set is a finding of the report, also that it cannot be built. Memory grows by a few
    hundred bytes an image.

    Args:
        source: a name as in ``DATASETS.NAMES``, or a data set: an object with ``train``, ``query`` and ``gallery``.
        root: ``DATASETS.ROOT``.
        options: what ``DATASETS.OPTIONS`` says of it; for a name only.
        protocol: ``TEST.PROTOCOL``; ``auto`` takes the one that suits the cameras of the test, and ``leave_one_out``
            where there is no gallery.
        size: (height, width) in pixels of what a model is fed, ``INPUT.SIZE_TEST``; images below a quarter are tiny.
        read_images: whether to read the image files; without, only lists and labels are checked.
        workers: processes that read them, see :func:`~.scan.scan_images`.
        most: cases that each finding lists, at least 1; all are counted.
        ignore: kinds of findings that are notes, whatever they were.

    Raises:
        ValueError: if an argument is out of its range.
        RuntimeError: if a process that reads images dies.
    """
    _check_arguments(protocol, size, most, ignore)
    loaded = load_splits(source, root=root, options=options, most=most)
    name = source if isinstance(source, str) else type(source).__name__
    subject = _subject(name, loaded, protocol, size, most)
    if read_images:
        facts, texts = scan_images(subject.paths, workers=workers)
        subject = replace(subject, facts=facts, texts=texts)
    found = [*loaded.findings, *_check(subject)]
    found = [_ignored(finding) if finding.kind in ignore else finding for finding in found]
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # stable: otherwise as the checks go
    return Report(subject, tuple(found), _summary(subject), _fingerprints(loaded, subject))


def _check_arguments(protocol: str, size: Sequence[int], most: int, ignore: Collection[str]) -> None:
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be a height and a width in pixels, at least 1 each, got {tuple(size)}")
    if most < 1:
        raise ValueError(f"most must be at least 1 case of each finding, got {most}")
    unknown = sorted(set(ignore) - set(known_kinds()))
    if unknown:
        raise ValueError(f"ignore: there are no findings of the kind {unknown[0]!r}; kinds: {', '.join(known_kinds())}")


def _subject(name: str, loaded: Loaded, protocol: str, size: tuple[int, int], most: int) -> Subject:
    splits, paths, identities, cameras = label_splits(loaded.dataset, loaded.splits)
    subject = Subject(
        name, splits, paths, identities, cameras, "", protocol, tuple(size), dataset=loaded.dataset, most=most
    )
    places = {identity: place for place, identity in enumerate(identities)}
    declared = (getattr(loaded.dataset, pids, frozenset()) for pids in ("junk_pids", "distractor_pids"))
    nobody = frozenset(places[str(pid)] for pid in chain.from_iterable(declared) if str(pid) in places)
    resolved = resolve_protocol(protocol, subject.split("query"), subject.split("gallery"))
    return replace(subject, nobody=nobody, protocol=resolved)


def _check(subject: Subject) -> Iterable[Finding]:
    for name in CHECK_REGISTRY:
        check = CHECK_REGISTRY.get(name)
        for finding in check(subject):
            if finding.kind not in check.kinds:
                raise ValueError(
                    f"the check {name} made a finding of the kind {finding.kind!r}, which is not in its kinds"
                )
            yield finding


def _ignored(finding: Finding) -> Finding:
    if finding.severity == "note":
        return finding
    return replace(finding, severity="note", message=f"{finding.message} ({finding.severity}, ignored)")


def _summary(subject: Subject) -> dict[str, Any]:
    return {
        "splits": count_splits(subject),
        "cameras": count_cameras(subject),
        "training_identities": spread(subject),
        "queries": count_queries(subject),
        "images": count_images(subject),
    }


def _fingerprints(loaded: Loaded, subject: Subject) -> dict[str, str]:
    train = loaded.splits.get("train", [])
    test = [*loaded.splits.get("query", []), *loaded.splits.get("gallery", [])]
    found = {
        name: dataset_fingerprint(item[:3] for item in items)
        for name, items in (("train", train), ("test", test))
        if items
    }
    content = content_fingerprint(subject)
    return {**found, "content": content} if content and len(subject.everything) else found
