"""Wrong labels, one identity of two people, and two identities of one: each from how well images fit identities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from .closeness import Closeness
from .fits import DIFFERENT, SAME, Fits, closest_half, with_label
from .groups import Groups
from .suspect import ONE_PERSON, TWO_PEOPLE, WRONG_LABEL, Suspect

__all__ = ["find_merged", "find_split", "find_wrong_labels"]

_FEWEST = 4  # images of an identity that can be two people: two each
_MOST = 300  # images of an identity that are compared with each other
_PARTNERS = 3  # identities that each is compared with


def find_wrong_labels(fits: Fits, groups: Groups, threshold: float) -> list[Suspect]:
    """Find images that do not fit their identity, and do fit another; those with the same two identities together.

    The score of an image is ``(1 + fit to the other - fit to its own) / 2``, the label counted as one more image.
    """
    own = with_label(fits.own, fits.own_count, SAME)  # (N,)
    other = with_label(fits.other, fits.other_count, DIFFERENT)  # (N, S)
    best, slot = other.max(dim=1)
    scores = ((1 + best - own) / 2).numpy()
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for image in np.argsort(-scores, kind="stable").tolist():
        if scores[image] < threshold:
            break
        label, seems = int(groups.of_image[image]), int(fits.candidates[image, slot[image]])
        if label >= 0 and seems >= 0:
            found[label, seems].append(image)
    return [
        Suspect(
            kind=WRONG_LABEL,
            score=float(scores[images[0]]),
            images=tuple(images),
            pids=(int(groups.pids[label]),),
            suggested=int(groups.pids[seems]),
            fit_own=float(own[images].mean()),
            fit_other=float(best[images].mean()),
            count=len(groups.members[label]),
        )
        for (label, seems), images in found.items()
    ]


def find_split(
    closeness: Closeness, fits: Fits, groups: Groups, threshold: float, *, left_out: Collection[int] = ()
) -> list[Suspect]:
    """Find identities that fall into two groups, of at least two images each, by average linkage.

    The score is that of a wrong label, with the group in place of the other identity; of the two groups the lower.

    Args:
        closeness: of the images.
        fits: how well they fit; who the smaller group may be.
        groups: the identities.
        threshold: lowest score that is returned.
        left_out: images that may belong elsewhere; each would be a group of its own and hide the two, so an identity
            with such images is looked at with and without them.
    """
    found = []
    strays = torch.tensor(sorted(left_out), dtype=torch.int64)
    for number, members in enumerate(map(torch.from_numpy, groups.members)):
        without = members[~torch.isin(members, strays)]
        ways = [_split(closeness, fits, groups, number, members)]
        ways += [_split(closeness, fits, groups, number, without)] if len(without) < len(members) else []
        best = max((way for way in ways if way), key=lambda suspect: suspect.score, default=None)
        found += [best] if best and best.score >= threshold else []
    return found


def find_merged(closeness: Closeness, fits: Fits, groups: Groups, threshold: float) -> list[Suspect]:
    """Find pairs of identities whose images are as close across the two as within each.

    People who look alike are close, too, but their images are still closer to their own. The score is
    ``1 - 4 (p - 0.5)``, with the chance p that an image is closer to another one of its identity than to one of the
    other identity; it is never higher than the fit, the label counted as one more image.
    """
    pairs = _partners(fits, groups)
    found = (_merged(closeness, groups, *sorted(pair, key=lambda n: len(groups.members[n]))) for pair in pairs)
    return [suspect for suspect in found if suspect.score >= threshold]


def _split(closeness: Closeness, fits: Fits, groups: Groups, number: int, images: Tensor) -> Suspect | None:
    """Divide an identity, of which some images may be left out; ``None`` if a group has fewer than two images."""
    if len(images) < _FEWEST:
        return None
    small, large = _two_groups(closeness, images)
    if len(small) < 2:
        return None
    within, across, score = _separation(closeness, small, large)
    return Suspect(
        kind=TWO_PEOPLE,
        score=min(score, _separation(closeness, large, small)[2]),
        images=tuple(small[across.argsort(stable=True)].tolist()),  # those that fit the rest least are first
        pids=(int(groups.pids[number]),),
        suggested=_suggest(fits, groups, small, at_least=0.9 * float(within.mean())),
        fit_own=float(across.mean()),
        fit_other=float(within.mean()),
        count=len(groups.members[number]),
    )


def _merged(closeness: Closeness, groups: Groups, small: int, large: int) -> Suspect:
    """Take two identities for one."""
    sides = [_some(torch.from_numpy(groups.members[number])) for number in (small, large)]
    images = torch.cat(sides)
    block = closeness.block(images, images)
    is_small = torch.arange(len(images)) < len(sides[0])
    is_own = is_small[:, None] == is_small
    across, counts = closest_half(block, is_own)
    within, _ = closest_half(block, ~is_own | torch.eye(len(images), dtype=torch.bool))
    fit = float(_balanced(with_label(across, counts, DIFFERENT), is_small))
    chance = _balanced(_own_is_closer(block, is_own), is_small).nan_to_num(nan=0.5).item()  # both alone: not known
    return Suspect(
        kind=ONE_PERSON,
        score=min(fit, 1 - 4 * (chance - 0.5)),
        images=tuple(sides[0][across[is_small].argsort(descending=True, stable=True)].tolist()),
        pids=(int(groups.pids[small]), int(groups.pids[large])),
        suggested=int(groups.pids[large]),
        fit_own=float(_balanced(within, is_small)),
        fit_other=float(_balanced(across, is_small)),
        count=len(groups.members[small]) + len(groups.members[large]),
    )


def _own_is_closer(block: Tensor, is_own: Tensor) -> Tensor:
    """Return how often an image is closer to one of its own side than to one of the other.

    Args:
        block: ``(M, M)`` closeness of all images of both sides.
        is_own: ``(M, M)`` bool, of one side.

    Returns:
        ``(M,)`` shares of all pairs of an own image, itself left out, with another; NaN where it is alone.
    """
    order = block.argsort(dim=1, stable=True)
    own = is_own.gather(1, order)
    lower = (~own).cumsum(dim=1)  # images of the other side that are less close
    itself = order == torch.arange(len(block))[:, None]
    others, fellows = (~is_own).sum(dim=1), is_own.sum(dim=1) - 1
    return lower.where(own & ~itself, 0).sum(dim=1) / (others * fellows)


def _balanced(values: Tensor, is_small: Tensor) -> Tensor:
    """Return the mean of the means of the two sides, NaN left out, and a side that is all NaN, too."""
    return torch.stack([values[is_small].nanmean(), values[~is_small].nanmean()]).nanmean()


def _two_groups(closeness: Closeness, members: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the images of an identity into two groups, the smaller first; it may be empty."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    drawn = _some(members)
    close = closeness.block(drawn, drawn).double().numpy()
    distance = close.max() - (close + close.T) / 2  # the two differ by rounding
    np.fill_diagonal(distance, 0)
    joined = linkage(squareform(distance, checks=False), "average")
    is_first = torch.from_numpy(fcluster(joined, 2, "maxclust") == 1)
    one, two = drawn[is_first], drawn[~is_first]
    rest = members[~torch.isin(members, drawn)]
    nearer = torch.cat(
        [closeness.block(part, one).mean(dim=1) > closeness.block(part, two).mean(dim=1) for part in rest.split(_MOST)]
    )
    one, two = torch.cat([one, rest[nearer]]), torch.cat([two, rest[~nearer]])
    return (one, two) if len(one) <= len(two) else (two, one)


def _separation(closeness: Closeness, group: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return how close the images of a group are to each other and to the rest ``(R,)``, and the score of it."""
    own, others = _some(group), _some(rest)
    within = closest_half(closeness.block(group, own), group[:, None] == own)
    across = closest_half(closeness.block(group, others), torch.zeros(len(group), len(others), dtype=torch.bool))
    fit, misfit = with_label(*within, DIFFERENT), with_label(*across, SAME)
    return fit, misfit, float((1 + fit - misfit).mean() / 2)


def _some(images: Tensor) -> Tensor:
    """Return all images, or, of more than 300, every so many."""
    return images[torch.linspace(0, len(images) - 1, min(len(images), _MOST)).round().long()]


def _suggest(fits: Fits, groups: Groups, images: Tensor, *, at_least: float) -> int | None:
    """Return the identity that most images of a group are near, and that they fit best and well enough."""
    identities, counts = fits.candidates[images].unique(return_counts=True)
    found: dict[float, int] = {}
    for identity in identities[(identities >= 0) & (2 * counts > len(images))].tolist():
        chosen = fits.candidates[images] == identity
        fit = with_label(fits.other[images][chosen], fits.other_count[images][chosen], DIFFERENT).mean()
        found[float(fit)] = int(groups.pids[identity])
    best = max(found, default=-torch.inf)
    return found[best] if best >= at_least else None


def _partners(fits: Fits, groups: Groups) -> Sequence[tuple[int, int]]:
    """Return pairs of identities that may be one: for each the few that its images fit best."""
    pairs = set()
    for number, members in enumerate(groups.members):
        chosen = fits.candidates[members]  # (M, S)
        total: dict[int, float] = defaultdict(float)
        for identity, fit in zip(chosen[chosen >= 0].tolist(), fits.other[members][chosen >= 0].tolist()):
            total[identity] += max(0.0, fit)
        best = sorted(total, key=lambda identity: (-total[identity], identity))[:_PARTNERS]
        pairs |= {(min(number, other), max(number, other)) for other in best}
    return sorted(pairs)
