"""Count what a data set has: plain values, for the report as text and as JSON."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ..labels import natural_key
from .facts import MODES
from .identities import gini, images_per_identity
from .queries import BY_CAMERA, can_be_ranked, searched_gallery, tested_queries, true_matches
from .subject import SPLITS, Subject

__all__ = ["content_fingerprint", "count_cameras", "count_images", "count_queries", "count_splits", "spread"]


def count_splits(subject: Subject) -> dict[str, dict[str, float]]:
    """Count images, identities and known cameras of each split, the images per identity, and images of nobody.

    As in the log of a run, nobodies of one number are one identity; they do not count for the images per identity.
    """
    nobody = np.array(sorted(subject.nobody), dtype=np.int64)
    found = {}
    for name, split in subject.splits.items():
        pids, counts = images_per_identity(split)
        counts = counts[~np.isin(pids, nobody)]
        found[name] = {
            "images": len(split),
            "identities": len(pids),
            "cameras": np.unique(split.cams[split.cams >= 0]).size,
            "images_per_identity": [int(counts.min()), float(np.median(counts)), int(counts.max())]
            if len(counts)
            else [],
            "distractors": int(np.isin(split.pids, nobody).sum()),
        }
    return found


def count_cameras(subject: Subject) -> dict[str, dict[str, int]]:
    """Count the images of each known camera by split; the cameras in the order of the numbers in their names."""
    counts = {
        name: np.bincount(split.cams[split.cams >= 0], minlength=len(subject.cameras))
        for name, split in subject.splits.items()
    }
    order = sorted(range(len(subject.cameras)), key=lambda place: natural_key(subject.cameras[place]))
    return {subject.cameras[place]: {name: int(own[place]) for name, own in counts.items()} for place in order}


def spread(subject: Subject) -> dict[str, Any]:
    """Tell how the training images are spread over identities; empty without any."""
    counts = images_per_identity(subject.split("train"))[1]
    if not counts.size:
        return {}
    powers = np.bincount(np.log2(counts).astype(int))
    spans = {
        f"{2**power}-{2 ** (power + 1) - 1}" if power else "1": int(own) for power, own in enumerate(powers) if own
    }
    return {
        "least": int(counts.min()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
        "gini": round(gini(counts), 4),
        "identities_by_images": spans,
    }


def count_queries(subject: Subject) -> dict[str, int]:
    """Count the queries, those with a true match, and the true matches of the median one, by the protocol."""
    if not can_be_ranked(subject):
        return {}
    query, gallery = tested_queries(subject), searched_gallery(subject)
    matches = true_matches(query, gallery, by_camera=subject.protocol in BY_CAMERA)
    return {"total": len(query), "with_match": int((matches > 0).sum()), "median_matches": int(np.median(matches))}


def count_images(subject: Subject) -> dict[str, Any]:
    """Count files, those that can be read, their modes, and the range of their sizes; empty if none was read."""
    if subject.facts is None:
        return {}
    fine = subject.facts[subject.readable]
    found: dict[str, Any] = {"files": len(subject.facts), "readable": len(fine)}
    if len(fine):
        for side in ("height", "width"):
            values = fine[side]
            found[side] = [int(values.min()), int(np.median(values)), int(values.max())]
        modes, counts = np.unique(fine["mode"], return_counts=True)
        found["modes"] = {MODES[mode]: int(count) for mode, count in zip(modes, counts)}
    return found


def content_fingerprint(subject: Subject) -> str:
    """Return a SHA-256 of the bytes and labels of all images by split, in any order and whatever the files are called.

    Empty if images were not read.
    """
    if subject.facts is None:
        return ""
    images = subject.everything
    digests = np.ascontiguousarray(subject.facts["digest"]).astype("<u8")
    lines = sorted(
        f"{SPLITS[split]}\t{subject.identities[pid]}\t{subject.cameras[cam] if cam >= 0 else ''}\t"
        f"{digests[file].tobytes().hex()}\n"
        for split, pid, cam, file in zip(subject.everything_split, images.pids, images.cams, images.files)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
