from __future__ import annotations

import os

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, DukeMTMC

from ..conftest import write_image

FILES = {
    "bounding_box_train": ["0001_c2_f0046302.jpg", "0001_c5_f0051341.jpg", "1002_c8_f0000001.jpg"],
    "query": ["0005_c2_f0046985.jpg"],
    "bounding_box_test": ["0005_c5_f0051781.jpg", "0002_c1_f0044158.jpg"],
}


@pytest.fixture
def root(tmp_path):
    # folders that read like a file name: only the name of the file counts
    root = tmp_path / "2020_c3" / "0999_c1_data"
    for folder, names in FILES.items():
        for name in names:
            write_image(root / "DukeMTMC-reID" / folder / name)
    return root


def test_splits_and_labels(root, monkeypatch):
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scan(path), key=lambda entry: entry.name, reverse=True))
    data = DATASET_REGISTRY.get("DukeMTMC")(root=str(root))
    assert [item[1:] for item in data.train] == [
        ("dukemtmc_1", "dukemtmc_1"), ("dukemtmc_1", "dukemtmc_4"), ("dukemtmc_1002", "dukemtmc_7"),
    ]  # fmt: skip
    assert [item[1:] for item in data.query] == [(5, 1)]
    assert [item[1:] for item in data.gallery] == [(2, 0), (5, 4)]
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


def test_published_sizes():
    assert DukeMTMC.statistics == {"train": (702, 16522), "query": (702, 2228), "gallery": (1110, 17661)}
