"""Nearly the same picture in two splits, or under two identities."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from ..knn import Neighbours, pair_similarity
from .closeness import Closeness
from .fits import SAME, Fits, with_label
from .groups import Groups, draw_same, median_cosines
from .suspect import DUPLICATE, Suspect

__all__ = ["find_duplicates"]


def find_duplicates(
    features: Tensor,
    near: Neighbours,
    closeness: Closeness,
    fits: Fits,
    groups: Groups,
    pids: np.ndarray,
    splits: np.ndarray,
    *,
    share: float,
    threshold: float,
    memory_gb: float = 0.25,
) -> list[Suspect]:
    """Find pairs of images that are much closer than images of one person usually are, two identities at a time.

    Args:
        features: ``(N, D)`` as the model gave them: what is common to a camera also makes a picture.
        near: the nearest images of each image.
        closeness: of the images.
        fits: how well they fit.
        groups: the identities.
        pids: ``(N,)`` int64.
        splits: ``(N,)``.
        share: two images are nearly the same picture if their distance, 1 - cosine, is at most this share of the
            median between two images of one person by one camera (by any, where there are no such).
        threshold: lowest score that is returned. The score goes from 1 for a pair as far as that up to 1.5 for the
            same picture under two identities; and from 0.5 to 0.75 under one identity in two splits.
        memory_gb: memory to use beside the features.
    """
    two, one = median_cosines(features, closeness.camids.numpy(), draw_same(groups, 0), memory_gb)
    bound = share * (1 - (two if np.isnan(one) else one))
    first, second = _pairs(near, closeness, groups, pids, splits)
    cosines = pair_similarity(features, features, *map(torch.from_numpy, (first, second)), memory_gb=memory_gb).numpy()
    nearness = 1 - (1 - cosines) / max(bound, 1e-12)  # 0 at the bound, 1 for the same picture
    one_label = pids[first] == pids[second]
    scores = np.where(one_label, 0.5 + 0.25 * nearness, 1 + 0.5 * nearness)
    scores[nearness < 0] = -np.inf
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for pair in np.argsort(-scores, kind="stable").tolist():
        if scores[pair] < threshold:
            break
        one, two = int(pids[first[pair]]), int(pids[second[pair]])
        found[min(one, two), max(one, two)].append(pair)
    return [
        _suspect(
            fits,
            groups,
            pids,
            np.stack([first[pairs], second[pairs]], axis=1),
            float(scores[pairs[0]]),
            float(cosines[pairs[0]]),
        )
        for pairs in found.values()
    ]


def _pairs(
    near: Neighbours, closeness: Closeness, groups: Groups, pids: np.ndarray, splits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs that would be a finding, if they are nearly the same picture; each once.

    Left out are pairs of nobody with nobody, and pairs of one identity by one camera, of which a sequence has many, and
    which no protocol that knows cameras compares.
    """
    rows = torch.arange(len(pids))[:, None]
    one_camera = closeness.by_one_camera(rows, near.places)
    close = closeness.scale(near.similarity, one_camera) >= SAME
    places = near.places.numpy()
    one_label = pids[:, None] == pids[places]
    counted = groups.of_image >= 0
    wanted = np.where(one_label, (splits[:, None] != splits[places]) & ~one_camera.numpy(), True)
    wanted &= (counted[:, None] | counted[places]) & close.numpy()
    first, column = wanted.nonzero()
    second = places[first, column]
    pairs = np.unique(np.sort(np.stack([first, second], axis=1), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _suspect(
    fits: Fits,
    groups: Groups,
    pids: np.ndarray,
    pairs: np.ndarray,  # (P, 2), the closest first
    score: float,
    cosine: float,
) -> Suspect:
    own = with_label(fits.own, fits.own_count, SAME).numpy()
    own = np.where(groups.of_image < 0, -np.inf, own)  # nobody's image fits nobody
    doubtful, sound = sorted(pairs[0].tolist(), key=lambda image: own[image])
    labels = dict.fromkeys((int(pids[doubtful]), int(pids[sound])))
    certain = len(labels) == 2 and own[sound] - own[doubtful] > 0.5
    return Suspect(
        kind=DUPLICATE,
        score=score,
        images=tuple(dict.fromkeys([doubtful, sound, *pairs.flatten().tolist()])),
        pids=tuple(labels),
        suggested=int(pids[sound]) if certain else None,
        fit_own=float("nan"),
        fit_other=cosine,
        count=len(pairs),
    )
