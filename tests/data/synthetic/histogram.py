"""The baseline that SynthReID must be too hard for: colour histograms, ranked by the protocol of Market-1501."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def read_split(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images ``(N, H, W, 3)``, identities and cameras ``(N,)`` of a folder."""
    paths = sorted(folder.iterdir())
    labels = np.array([re.match(r"(\d+)_c(\d)", path.name).groups() for path in paths]).astype(int)
    return np.stack([np.asarray(Image.open(path)) for path in paths]), labels[:, 0], labels[:, 1]


def to_hsv(images: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(image).convert("HSV")) for image in images])


def balance(images: np.ndarray) -> np.ndarray:
    """Undo light and colour cast: every channel of every image gets the same mean (the grey world assumption)."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return np.clip(images / mean * 110, 0, 255).astype(np.uint8)


def histograms(images: np.ndarray, bins: tuple[int, int, int], stripes: int = 1) -> np.ndarray:
    """Return the joint histogram of the channels of every horizontal stripe, ``(N, stripes * bins)``, each of sum 1."""
    levels = images.astype(int) * np.array(bins) // 256
    cells = (levels[..., 0] * bins[1] + levels[..., 1]) * bins[2] + levels[..., 2]  # (N, H, W)
    size = int(np.prod(bins))
    parts = [part.reshape(len(images), -1) for part in np.array_split(cells, stripes, axis=1)]
    return np.concatenate([[np.bincount(row, minlength=size) / row.size for row in part] for part in parts], axis=1)


def _trim(images: np.ndarray) -> np.ndarray:
    """Cut left and right, where there is more background than person."""
    return images[:, :, 12:-12]


FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RGB": lambda images: histograms(images, (8, 8, 8)),
    "HSV": lambda images: histograms(to_hsv(images), (8, 8, 8)),
    "HSV of 6 stripes": lambda images: histograms(to_hsv(images), (8, 4, 4), 6),
    "HSV of 6 trimmed stripes": lambda images: histograms(_trim(to_hsv(images)), (8, 4, 4), 6),
    "hue and saturation of 6 trimmed stripes": lambda images: histograms(_trim(to_hsv(images)), (12, 4, 1), 6),
    "balanced RGB of 6 trimmed stripes": lambda images: histograms(_trim(balance(images)), (8, 8, 8), 6),
}

# one histogram against many; the intersection ranks as L1 does, since all histograms have one sum
DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": lambda one, many: -(many @ one) / np.linalg.norm(many, axis=1),
    "L1": lambda one, many: np.abs(many - one).sum(axis=1),
    "chi-square": lambda one, many: ((many - one) ** 2 / (many + one + 1e-9)).sum(axis=1),
}


def rank_one(folder: Path) -> dict[tuple[str, str], float]:
    """Return Rank-1 in percent of a written benchmark by every feature and distance."""
    queries, pids, cams = read_split(folder / "query")
    gallery, gallery_pids, gallery_cams = read_split(folder / "bounding_box_test")
    seen = (gallery_pids == pids[:, None]) & (gallery_cams == cams[:, None])  # (Q, G), left out
    reached = {}
    for feature, describe in FEATURES.items():
        ones, many = describe(queries), describe(gallery)
        for distance, measure in DISTANCES.items():
            dist = np.where(seen, np.inf, [measure(one, many) for one in ones])  # (Q, G)
            reached[feature, distance] = 100 * float(np.mean(gallery_pids[dist.argmin(axis=1)] == pids))
    return reached
