from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write_images"]


def write_images(folder: Path, count: int, *, identities: int, seed: int = 0) -> list[tuple[str, int, int]]:
    """Write blurred noise as JPEGs of the size of Market-1501's images, in one folder per identity.

    Args:
        folder: where to; made.
        count: number of images, at least 1.
        identities: they are dealt out to so many identities, and to two cameras.
        seed: the same seed gives the same files.

    Returns:
        ``(path, pid, camid)`` of each.
    """
    rng = np.random.default_rng(seed)
    items = []
    for number in range(count):
        pid = number % identities
        place = folder / f"{pid:05d}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{number:06d}.jpg"
        noise = Image.fromarray(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8))
        noise.resize((64, 128), Image.Resampling.BICUBIC).save(path, quality=90)
        items.append((str(path), pid, number // identities % 2))
    return items
