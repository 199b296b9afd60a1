"""Checks of identities and cameras."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .build import register_check
from .finding import Case, Finding, counted
from .subject import LabelledSplit, Subject

__all__ = ["check_cameras", "check_imbalance", "check_shared_identities", "check_thin_identities", "gini"]

_FACTOR = 10  # times the median: an identity with so many images dominates


def images_per_identity(split: LabelledSplit) -> tuple[np.ndarray, np.ndarray]:
    """Return the identities of a split, sorted, and the number of images of each."""
    return np.unique(split.pids, return_counts=True)


def gini(sizes: np.ndarray) -> float:
    """Return how unequal sizes are: 0 if all are equal, nearly 1 if one has everything.

    Args:
        sizes: at least one, positive.

    Example:
        >>> gini(np.array([5, 5, 5])), round(gini(np.array([1, 1, 98])), 2)
        (0.0, 0.65)
    """
    ordered = np.sort(sizes).astype(float)
    ranks = np.arange(1, ordered.size + 1)
    return float(2 * (ranks * ordered).sum() / (ordered.size * ordered.sum()) - (ordered.size + 1) / ordered.size)


@register_check("identity-in-train-and-test", "not-split")
def check_shared_identities(subject: Subject) -> Iterator[Finding]:
    """Report identities that are trained on and tested: a test is on people whom the model has never seen."""
    if subject.trains_on_its_test:
        count = len(set(subject.test.files.tolist()))
        message = (
            f"all {count} images are trained on and tested on, so numbers on this set say nothing about new images; "
            "split it with tools/split_dataset.py, or only train on it"
        )
        yield Finding("warning", "not-split", message, count)
        return
    train, test = subject.split("train"), subject.test
    shared = np.setdiff1d(np.intersect1d(train.pids, test.pids), np.array(sorted(subject.nobody), dtype=np.int64))
    if not shared.size:
        return
    in_train, in_test = np.isin(train.pids, shared), np.isin(test.pids, shared)
    message = (
        f"{counted(shared.size, 'identity')} trained on and tested, in {counted(in_train.sum(), 'training image')} and "
        f"{counted(in_test.sum(), 'test image')}, which makes numbers too good; keep them in one of the two"
    )
    cases = [_identity_case(subject, pid, (train, test)) for pid in shared[: subject.most]]
    yield Finding("error", "identity-in-train-and-test", message, int(shared.size), tuple(cases))


def _identity_case(subject: Subject, pid: int, splits: tuple[LabelledSplit, ...]) -> Case:
    """Show an identity by the first image of it in each split."""
    places = [(split, np.flatnonzero(split.pids == pid)) for split in splits]
    paths = tuple(subject.paths[split.files[found[0]]] for split, found in places if found.size)
    return Case(paths, f"identity {subject.identities[pid]}")


@register_check("single-image", "single-camera")
def check_thin_identities(subject: Subject) -> Iterator[Finding]:
    """Report training identities with one image, or seen by one camera only."""
    train = subject.split("train")
    pids, counts = images_per_identity(train)
    single = pids[counts == 1]
    if single.size:
        message = (
            f"{single.size} of {counted(pids.size, 'training identity')} with one image; identities are learned "
            "from pairs, and samplers take this image twice"
        )
        cases = [_identity_case(subject, pid, (train,)) for pid in single[: subject.most]]
        yield Finding("warning", "single-image", message, int(single.size), tuple(cases))
    if not has_cameras(subject.everything) or not (train.cams >= 0).all():
        return
    by_camera = np.unique(np.stack([train.pids, train.cams]), axis=1)[0]  # an entry for each identity and camera
    seen_by = np.unique(by_camera, return_counts=True)[1]
    lonely = pids[(seen_by == 1) & (counts > 1)]
    if lonely.size:
        message = (
            f"{lonely.size} of {counted(pids.size, 'training identity')} with several images, but of one camera: "
            "they give no pairs across cameras"
        )
        cases = [_identity_case(subject, pid, (train,)) for pid in lonely[: subject.most]]
        yield Finding("note", "single-camera", message, int(lonely.size), tuple(cases))


@register_check("imbalance")
def check_imbalance(subject: Subject) -> Iterator[Finding]:
    """Report training identities with many times as many images as the median one."""
    train = subject.split("train")
    pids, counts = images_per_identity(train)
    if not pids.size:
        return
    median = float(np.median(counts))
    large = np.flatnonzero(counts >= _FACTOR * median)
    if large.size:
        message = (
            f"{large.size} of {counted(pids.size, 'training identity')} with {_FACTOR} times the median of {median:g} "
            f"images, or more (at most {counts.max()}; Gini {gini(counts):.2f}); an identity sampler evens that out"
        )
        order = large[np.argsort(-counts[large], kind="stable")][: subject.most]
        cases = [
            Case(_identity_case(subject, pids[place], (train,)).paths, f"identity {name}: {counts[place]} images")
            for place, name in ((place, subject.identities[pids[place]]) for place in order)
        ]
        yield Finding("warning", "imbalance", message, int(large.size), tuple(cases))


def has_cameras(images: LabelledSplit) -> bool:
    """Tell whether cameras are known, and are not one for each image, as sets without cameras may count them."""
    cameras = np.unique(images.cams[images.cams >= 0])
    return 0 < cameras.size < len(images)


@register_check("unseen-camera")
def check_cameras(subject: Subject) -> Iterator[Finding]:
    """Report cameras of the test that no training image is of."""
    train, test = subject.split("train"), subject.test
    if not len(train) or not len(test) or not has_cameras(subject.everything):
        return
    unseen = np.setdiff1d(test.cams[test.cams >= 0], train.cams)
    if unseen.size:
        total = np.unique(test.cams[test.cams >= 0]).size
        images = int(np.isin(test.cams, unseen).sum())
        message = (
            f"{unseen.size} of {total} cameras of the test, with {counted(images, 'image')}, without a training image"
        )
        cases = [Case(text=f"camera {subject.cameras[camera]}") for camera in unseen[: subject.most]]
        yield Finding("note", "unseen-camera", message, int(unseen.size), tuple(cases))
