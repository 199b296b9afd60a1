"""What the tests of the data room share: several ranks in one process, and a tiny data set on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.utils import comm


@pytest.fixture
def as_rank(monkeypatch) -> Callable[[int, int], None]:
    """Make this process believe that it is one of several."""

    def become(rank: int, world: int) -> None:
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "get_world_size", lambda: world)

    return become


def write_image(path: Path, size: tuple[int, int] = (8, 16), seed: int = 0) -> str:
    """Write a picture of noise, ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


MARKET_FILES = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000451_03.jpg", "1002_c3s2_000001_01.jpg"]
    + [f"{pid:04d}_c{cam}s1_{frame:06d}_01.jpg" for pid in (7, 11, 12, 15) for cam in (1, 4) for frame in (1, 2)],
    "query": ["0003_c1s1_000001_01.jpg", "0004_c6s1_000002_01.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000001_01.jpg",
        "0000_c5s1_000003_01.jpg",
        "0003_c2s1_000001_01.jpg",
        "0004_c2s1_000002_01.jpg",
        "0004_c6s1_000009_01.jpg",
    ],
}


def write_market(root: Path, folder: str = "Market-1501-v15.09.15") -> Path:
    """Write a data set in the layout of Market-1501; return the root."""
    for seed, (name, files) in enumerate(MARKET_FILES.items()):
        for number, file in enumerate(files):
            write_image(root / folder / name / file, seed=100 * seed + number)
    return root


@pytest.fixture
def market_root(tmp_path) -> Path:
    return write_market(tmp_path / "datasets")
