"""Data sets to store: one that is registered, and one's own in three ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import write_image, write_market

OWN = ("Market1501", "folder:crops", "csv:shop/train.csv", "market:street")


@pytest.fixture
def sets(tmp_path, monkeypatch) -> Path:
    """A folder with the sets of :data:`OWN` in it, from which they are found; ``datasets`` is the root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTREID_DATASETS", raising=False)
    write_market(tmp_path / "datasets")
    write_market(tmp_path, "street")
    for number in range(12):
        write_image(tmp_path / "crops" / f"person {number // 3}" / f"{number}.jpg", seed=number)
        write_image(tmp_path / "shop" / "images" / f"{number}.v2.PNG", seed=50 + number)
    rows = [
        f"images/{number}.v2.PNG,anna {number // 3},door {number % 2},{'train' if number < 6 else 'test'}"
        for number in range(12)
    ]
    table = tmp_path / "shop" / "train.csv"
    table.write_text("\n".join(["path,pid,camid,split", *rows]) + "\n", encoding="utf-8")
    return tmp_path
