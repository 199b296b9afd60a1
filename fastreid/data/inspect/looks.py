"""Find images that look the same although their bytes differ: scaled, or encoded once more."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

__all__ = ["colours", "gradients", "near_groups"]

# Of person crops that were saved as JPEG of quality 50 or WebP of 80, or at twice their size, 96 % or more stay within
# both limits; crops of two people differ in 17 bits at least (6,000 images of Market-1501, 4,380 of SynthReID).
MOST_BITS = 8  # of 128 that may differ
MOST_LEVELS = 3.0  # of 255 by which the colours may differ, in the mean
_BANDS = MOST_BITS + 1  # at least one band of two hashes with at most MOST_BITS different bits is the same
_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)  # bits of a byte that are 1
_PAIRS_AT_ONCE = 1 << 18


def gradients(image: Image.Image) -> np.ndarray:
    """Hash how brightness rises and falls over an image: a difference hash in both directions.

    Copies of an image that were scaled or encoded once more differ in a few bits.

    Args:
        image: in mode RGB.

    Returns:
        ``(2,)`` uint64: 8 x 8 bits, whether it gets brighter to the right, and as many for downwards.
    """
    grey = image.convert("L")
    right = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)  # (8, 9)
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX), dtype=np.int16)  # (9, 8)
    bits = np.stack([right[:, 1:] > right[:, :-1], down[1:] > down[:-1]])  # (2, 8, 8)
    return np.packbits(bits).view(np.uint64)


def colours(image: Image.Image) -> np.ndarray:
    """Return the mean colours of 4 x 4 parts of an image in mode RGB, ``(48,)`` uint8."""
    return np.asarray(image.resize((4, 4), Image.Resampling.BOX)).ravel()


def near_groups(hashes: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Group the images that look nearly the same.

    Two images are near if at most 8 of the 128 bits of their gradients differ, and their colours by at most 3 of 255
    levels in the mean. An image that is near to one of a group belongs to the group. No near pair is missed: two hashes
    with at most 8 different bits agree in at least one of 9 bands, and images that agree in a band are compared. Memory
    grows with the number of images alone.

    Args:
        hashes: ``(N, 2)`` uint64 of :func:`gradients`.
        means: ``(N, 48)`` uint8 of :func:`colours`.

    Returns:
        ``(N,)`` int64: the place of one image of the group, the same for all of it.
    """
    parents = np.arange(len(hashes))
    hash_bytes = np.ascontiguousarray(hashes).view(np.uint8)  # (N, 16)
    bits = np.unpackbits(hash_bytes, axis=1)  # (N, 128)
    for band in range(_BANDS):
        own = bits[:, band::_BANDS]  # (N, 14 or 15), from all over the image
        keys = own @ (1 << np.arange(own.shape[1], dtype=np.int64))  # (N,)
        for first, second in _pairs_of_equals(keys):
            fresh = _roots(parents, first) != _roots(parents, second)
            first, second = first[fresh], second[fresh]
            near = _ONES[hash_bytes[first] ^ hash_bytes[second]].sum(axis=1, dtype=np.int64) <= MOST_BITS
            first, second = first[near], second[near]
            levels = np.abs(means[first].astype(np.int16) - means[second]).mean(axis=1)  # (P,)
            _join(parents, first[levels <= MOST_LEVELS], second[levels <= MOST_LEVELS])
    return _roots(parents, np.arange(len(parents)))


def _pairs_of_equals(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places of all pairs with the same key, many at a time."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    left = np.arange(len(keys))
    for offset in range(1, len(keys)):
        left = left[left + offset < len(keys)]
        left = left[ordered[left] == ordered[left + offset]]
        if not left.size:
            return
        for start in range(0, left.size, _PAIRS_AT_ONCE):
            part = left[start : start + _PAIRS_AT_ONCE]
            yield order[part], order[part + offset]


def _roots(parents: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Follow the parents of several places to the end."""
    above = parents[places]
    while (above != places).any():
        places, above = above, parents[above]
    return places


def _join(parents: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Put the groups of each pair together, in place."""
    for one, other in zip(first.tolist(), second.tolist()):
        low, high = sorted(_roots(parents, np.array([one, other])).tolist())
        parents[high] = low
