"""How well images fit identities: their own, and the ones that they may belong to instead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..knn import Neighbours
from .closeness import Closeness
from .groups import Groups

__all__ = ["DIFFERENT", "SAME", "Fits", "closest_half", "find_candidates", "measure_fits", "with_label"]

SAME, DIFFERENT = 1.0, 0.0  # what a label says of a pair, as a closeness
_CELLS = 4_000_000  # of a block of closeness


@dataclass(frozen=True, eq=False)
class Fits:
    """How well each of N images fits its own identity, and some others.

    A fit is the mean closeness to the closest half of an identity's images: the other half may be seen from behind, or
    be wrongly labelled themselves.

    Args:
        own: ``(N,)`` float, to the other images of its identity; NaN where there are none.
        own_count: ``(N,)`` int64, images in that mean.
        candidates: ``(N, S)`` int64, other identities, by their position among the groups; -1: none.
        other: ``(N, S)`` float, the fits to them; NaN: none.
        other_count: ``(N, S)`` int64.
    """

    own: Tensor
    own_count: Tensor
    candidates: Tensor
    other: Tensor
    other_count: Tensor


def with_label(fit: Tensor, count: Tensor, label: float) -> Tensor:
    """Count what the label says as one more image: the fewer images there are, the more it weighs.

    Args:
        fit: mean closeness; NaN where ``count`` is 0.
        count: int64, number of images in that mean, of the same shape.
        label: :data:`SAME` or :data:`DIFFERENT`.

    Returns:
        Float of the same shape; ``label`` where ``count`` is 0.

    Example:
        >>> with_label(torch.tensor([0.4, 0.4, torch.nan]), torch.tensor([1, 9, 0]), SAME)
        tensor([0.7000, 0.4600, 1.0000])
    """
    return (torch.where(count > 0, fit * count, 0) + label) / (count + 1)


def closest_half(closeness: Tensor, is_itself: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the higher half of each row, rounded up.

    Args:
        closeness: ``(R, C)`` float.
        is_itself: ``(R, C)`` bool, pairs of an image with itself, which do not count.

    Returns:
        Means ``(R,)``, NaN where nothing counts, and how many values each is of, ``(R,)`` int64.

    Example:
        >>> closest_half(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([[False, False, False]]))
        (tensor([0.7000]), tensor([2]))
    """
    counts = ((~is_itself).sum(dim=1) + 1) // 2  # (R,)
    ordered = closeness.masked_fill(is_itself, -torch.inf).sort(dim=1, descending=True).values
    wanted = torch.arange(closeness.shape[1]) < counts[:, None]  # (R, C)
    return ordered.where(wanted, 0).sum(dim=1) / counts, counts  # 0 / 0 is NaN


def find_candidates(near: Neighbours, closeness: Closeness, groups: Groups, slots: int) -> Tensor:
    """Return the other identities that each image is nearest to, by their position; ``(N, slots)`` int64, -1: none.

    Args:
        near: the nearest images of each image.
        closeness: of the images.
        groups: the identities.
        slots: how many identities.
    """
    of_image = torch.from_numpy(groups.of_image)
    one_camera = closeness.by_one_camera(torch.arange(len(of_image))[:, None], near.places)
    close = closeness.scale(near.similarity, one_camera)  # (N, K)
    order = close.argsort(dim=1, descending=True, stable=True)
    identity = of_image[near.places].gather(1, order)  # (N, K)
    left = (identity >= 0) & (identity != of_image[:, None])
    found = torch.full((len(identity), slots), -1)
    for slot in range(slots):
        some, column = left.max(dim=1)  # the first that is left
        found[some, slot] = identity[some].gather(1, column[some, None])[:, 0]
        left &= identity != found[:, slot, None]
    return found


def measure_fits(closeness: Closeness, groups: Groups, candidates: Tensor) -> Fits:
    """Compare each image with all images of its identity and of its candidates ``(N, S)``, identity by identity."""
    own_identity = torch.from_numpy(groups.of_image)
    wanted = torch.cat([own_identity[:, None], candidates], dim=1)  # (N, 1 + S)
    fits = torch.full(wanted.shape, torch.nan)
    counts = torch.zeros(wanted.shape, dtype=torch.int64)
    flat = wanted.flatten()
    order = flat.argsort(stable=True)
    ends = torch.searchsorted(flat[order], torch.arange(len(groups.pids) + 1)).tolist()
    for members, start, end in zip(groups.members, ends, ends[1:]):
        columns = torch.from_numpy(members)
        for cells in order[start:end].split(max(1, _CELLS // len(members))):
            rows = cells // wanted.shape[1]
            block = closeness.block(rows, columns)
            fits.view(-1)[cells], counts.view(-1)[cells] = closest_half(block, rows[:, None] == columns)
    return Fits(fits[:, 0], counts[:, 0], candidates, fits[:, 1:], counts[:, 1:])
