"""All suspects of a data set, the most suspicious first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..features import FeatureSet
from ..knn import knn
from ..similarity import cosine
from .closeness import Closeness, measure_closeness
from .duplicates import find_duplicates
from .fits import find_candidates, measure_fits
from .groups import Groups
from .kinds import find_merged, find_split, find_wrong_labels
from .suspect import DUPLICATE, ONE_PERSON, TWO_PEOPLE, Match, Suspect

__all__ = ["find_label_suspects"]

_SLOTS = 5  # identities that an image is compared with, beside its own


@torch.no_grad()
def find_label_suspects(
    features: Tensor,
    pids: np.ndarray,
    camids: np.ndarray,
    splits: np.ndarray,
    *,
    nobody: Iterable[int] = (),
    threshold: float = 0.6,
    neighbours: int = 50,
    duplicate: float = 0.1,
    matches: int = 5,
    memory_gb: float = 0.25,
    seed: int = 0,
) -> list[Suspect]:
    """Find images and identities whose labels the features contradict, the most suspicious first.

    Everything is measured on the scale of the data set: a *closeness* of 0 is the median cosine of images of two
    people, 1 that of two images of one person, each for pairs by one camera and for pairs by two; and what is common to
    the images of a camera is taken off the features first, see ``normalize_cameras``. So a shared background is no
    evidence. A *fit* is the mean closeness of an image to the closest half of an identity's images, the label counted
    as one more image. The score of every kind is built from fits, so that 0.5 means undecided, and 1 that the images
    contradict the label as clearly as they usually confirm it:

    - ``wrong_label``: an image that fits another identity better than its own; ``(1 + other - own) / 2``. Images with
      the same two identities are one suspect.
    - ``two_people``: an identity whose images fall into two groups, each of which fits itself and not the other; the
      same, with the group in place of the other identity.
    - ``one_person``: two identities whose images are as close across the two as within each; ``1 - 4 (p - 0.5)`` with
      the chance p that an image is closer to one of its own identity than to one of the other, and never more than
      the fit.
    - ``near_duplicate``: nearly the same picture under two identities (1 to 1.5), or under one identity in two splits
      (0.5 to 0.75), unless by one camera: such pairs are not compared in an evaluation.

    An image, and a pair of identities, counts once, by its highest score.

    Args:
        features: ``(N, D)`` finite float, on the CPU, not changed; they need not be normalised.
        pids: ``(N,)`` int64.
        camids: ``(N,)`` int64; below 0: not known.
        splits: ``(N,)``, anything that can be compared: query, gallery, train.
        nobody: pids that are no identity, such as distractors and junk. What looks like an identity is what they
            are for, so they are suspects only as near duplicates of an identity's image.
        threshold: the lowest score that is returned.
        neighbours: images near each image among which identities are looked for, at least 1.
        duplicate: how far near duplicates may be apart, as a share of what is usual for one person, in [0, 1].
        matches: images of either side that are given as evidence.
        memory_gb: memory to use beside the features, three copies of them in float32, and some numbers an image.
        seed: of the pairs that tell what is usual.

    Raises:
        ValueError: if shapes do not fit, a feature is NaN or infinite, an argument is out of range, or there is nothing
            to compare: no two identities, none with two images, or features that do not tell identities apart.
    """
    _check(features, pids, camids, splits, neighbours=neighbours, duplicate=duplicate, matches=matches)
    features = features.to(torch.float32)
    groups = Groups.of(pids, frozenset(nobody))
    closeness = measure_closeness(features, camids, groups, seed=seed, memory_gb=memory_gb)
    near = knn(closeness.features, closeness.features, neighbours + 1, memory_gb=memory_gb)  # each also finds itself
    fits = measure_fits(closeness, groups, find_candidates(near, closeness, groups, _SLOTS))
    options = {"share": duplicate, "threshold": threshold, "memory_gb": memory_gb}
    wrong = find_wrong_labels(fits, groups, threshold)
    stray = {image for suspect in wrong for image in suspect.images}
    found = [
        *wrong,
        *find_duplicates(features, near, closeness, fits, groups, pids, splits, **options),
        *find_split(closeness, fits, groups, threshold, left_out=stray),
        *find_merged(closeness, fits, groups, threshold),
    ]
    return [_with_matches(suspect, features, closeness, groups, matches) for suspect in each_once(found)]


def each_once(suspects: Iterable[Suspect]) -> list[Suspect]:
    """Order suspects by falling score, and leave out what a stronger one has said.

    That is one of whose images at least half are in stronger suspects; of pairs of identities, one that is in a
    stronger suspect. Two identities that are one person are a pair, and take no images.
    """
    images: set[int] = set()
    pairs: set[frozenset[int]] = set()
    kept = []
    for suspect in sorted(suspects, key=lambda suspect: -suspect.score):
        pair = frozenset({*suspect.pids, suspect.suggested} - {None})
        of_images = suspect.kind != ONE_PERSON
        known = of_images and 2 * len(images.intersection(suspect.images)) >= len(suspect.images)
        if known or (suspect.kind in (ONE_PERSON, DUPLICATE) and pair in pairs):
            continue
        kept.append(suspect)
        pairs.add(pair)
        images.update(suspect.images if of_images else ())
    return kept


def _with_matches(suspect: Suspect, features: Tensor, closeness: Closeness, groups: Groups, matches: int) -> Suspect:
    """Add the images that are closest to the first one: of its own side, and of the other."""
    first, rest = suspect.images[0], suspect.images[1:]
    own, other = groups.images_of(suspect.pids[0]), groups.images_of(suspect.suggested)
    if suspect.kind == TWO_PEOPLE:
        other = np.array(rest)
    if suspect.kind == DUPLICATE:
        other = np.array(rest[:1])
    own = np.setdiff1d(own, [first] if suspect.kind == ONE_PERSON else suspect.images)
    sides = [_nearest(first, side, features, closeness, matches) for side in (own, other)]
    return replace(suspect, own=sides[0], other=sides[1])


def _nearest(image: int, others: np.ndarray, features: Tensor, closeness: Closeness, count: int) -> tuple[Match, ...]:
    if not len(others):
        return ()
    row, columns = torch.tensor([image]), torch.from_numpy(others)
    close = closeness.block(row, columns)[0]
    chosen = close.argsort(descending=True, stable=True)[:count]
    unit, _ = cosine(features[torch.cat([row, columns[chosen]])], features[image])
    cosines = unit[1:] @ unit[0]
    return tuple(Match(*values) for values in zip(columns[chosen].tolist(), close[chosen].tolist(), cosines.tolist()))


def _check(features: Tensor, *labels: np.ndarray, neighbours: int, duplicate: float, matches: int) -> None:
    if features.ndim != 2:
        raise ValueError(f"features must be (images, dimensions), got shape {tuple(features.shape)}")
    for name, of_images in zip(("pids", "camids", "splits"), labels, strict=True):
        if of_images.shape != (len(features),):
            raise ValueError(f"{name} must have the shape ({len(features)},), as the features, got {of_images.shape}")
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    if not 0 <= duplicate <= 1:
        raise ValueError(f"duplicate must be in [0, 1], got {duplicate}")
    if matches < 0:
        raise ValueError(f"matches must be at least 0, got {matches}")
    FeatureSet(features, *map(torch.from_numpy, labels[:2])).require_finite()
