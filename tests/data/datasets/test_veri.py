from __future__ import annotations

import os

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, VeRi

from ..conftest import write_image

FILES = {
    "image_train": ["0001_c001_00016450_0.jpg", "0001_c020_00016460_0.jpg", "0776_c003_00085310_0.jpg"],
    "image_query": ["0002_c002_00030600_0.jpg"],
    "image_test": ["0002_c019_00030605_1.jpg", "0005_c003_00077625_0.jpg"],
}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "2020_c003" / "0999_c001_data"
    for folder, names in FILES.items():
        for name in names:
            write_image(root / "veri" / folder / name)
    return root


def test_splits_and_labels(root, monkeypatch):
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scan(path), key=lambda entry: entry.name, reverse=True))
    data = DATASET_REGISTRY.get("VeRi")(root=str(root))
    assert [item[1:] for item in data.train] == [("veri_1", "veri_0"), ("veri_1", "veri_19"), ("veri_776", "veri_2")]
    assert [item[1:] for item in data.query] == [(2, 1)]
    assert [item[1:] for item in data.gallery] == [(2, 18), (5, 2)]


def test_published_sizes():
    assert VeRi.statistics == {"train": (576, 37778), "query": (200, 1678), "gallery": (200, 11579)}
