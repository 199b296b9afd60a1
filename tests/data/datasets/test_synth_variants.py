"""The painted data sets: registered, painted when first used, and tested as their classes say."""

from __future__ import annotations

import numpy as np
import pytest

from fastreid.config import get_cfg
from fastreid.data import build_reid_test_loader
from fastreid.data.data_utils import read_image
from fastreid.data.datasets import DATASET_REGISTRY, painted
from fastreid.data.synthetic import VARIANTS, Benchmark

SMALL = Benchmark(train_identities=2, test_identities=2, group_size=2, train_images=1, gallery_images=1, distractors=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    """All sets, small."""
    root = tmp_path_factory.mktemp("datasets")
    for name, variant in VARIANTS.items():
        painted.ensure_benchmark(root / DATASET_REGISTRY.get(name).folder, SMALL, variant)
    return str(root)


@pytest.fixture(params=sorted(VARIANTS))
def data(request, root, monkeypatch):
    cls = DATASET_REGISTRY.get(request.param)
    monkeypatch.setattr(cls, "benchmark", SMALL)
    monkeypatch.setattr(cls, "statistics", SMALL.statistics(cls.variant))
    return cls(root)


def test_declarations_say_what_they_paint(data):
    variant = VARIANTS[type(data).__name__]
    assert data.variant is variant
    assert data.folder == f"{variant.name}-v{variant.version}"
    assert data.dataset_name == variant.name.lower()


def test_whole_sets_are_small():
    for name, variant in VARIANTS.items():
        statistics = DATASET_REGISTRY.get(name).benchmark.statistics(variant)
        assert 100 <= statistics["train"][0] <= 240
        assert sum(images for _, images in statistics.values()) < 5000
        assert DATASET_REGISTRY.get(name).statistics == statistics


def test_splits(data, caplog):
    data.show_train()
    data.show_test()
    assert "differ" not in caplog.text
    prefix = data.dataset_name
    assert {item[1] for item in data.train} == {f"{prefix}_1", f"{prefix}_2"}
    assert {item[2] for item in data.train} == {f"{prefix}_{camera.number - 1}" for camera in data.variant.cameras}
    assert {item[2] for item in data.query} == {number - 1 for number in data.variant.query_cameras}
    assert {item[1] for item in data.query} == {3, 4}
    assert {item[1] for item in data.gallery} == {0, 3, 4}


def test_every_query_has_a_match_by_another_camera(data):
    for _, pid, camid in data.query:
        assert any(other == pid and camera != camid for _, other, camera in data.gallery)


def test_first_use_paints(tmp_path, monkeypatch):
    cls = DATASET_REGISTRY.get("SynthVehicle")
    monkeypatch.setattr(cls, "benchmark", SMALL)
    data = cls(str(tmp_path))
    assert read_image(data.train[0][0]).size == (128, 96)
    monkeypatch.setattr(painted, "ensure_benchmark", lambda *args: None)  # the second time it is there
    assert cls(str(tmp_path)).train == data.train


def test_parts_of_many_sizes_are_read_in_one_batch(root, monkeypatch):
    cls = DATASET_REGISTRY.get("SynthPartial")
    monkeypatch.setattr(cls, "benchmark", SMALL)
    cfg = get_cfg()
    cfg.DATASETS.ROOT = root
    cfg.INPUT.SIZE_TEST = [64, 32]
    cfg.TEST.NUM_WORKERS = 0
    loader, queries = build_reid_test_loader(cfg, dataset_name="SynthPartial")
    images = np.concatenate([batch["images"] for batch in loader])
    assert queries == 12 and images.shape == (12 + 12 + 2, 3, 64, 32)
    assert len({read_image(path).size for path, _, _ in cls(root).query}) > 6
