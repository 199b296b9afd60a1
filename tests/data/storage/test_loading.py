"""What the loaders yield from a storage is what they yield from files, bit for bit."""

from __future__ import annotations

import itertools
import shutil

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.data import CommDataset, build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets.build import build_dataset
from fastreid.data.image_cache import build_image_cache
from fastreid.data.numbered_loader import build_numbered_loader
from fastreid.data.storage import open_dataset, pack_dataset
from fastreid.data.transforms import augmentation_sheet, build_transforms

STORAGES = ("packed", "tar")


@pytest.fixture
def cfg(sets):
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [16, 8]
    for switch in ("FLIP", "PADDING", "REA", "CJ", "OCCLUSION", "JPEG"):
        cfg.INPUT[switch].ENABLED = True
    cfg.INPUT.OCCLUSION.PROB = 0.5  # it reads another image
    cfg.DATASETS.NAMES = cfg.DATASETS.TESTS = ("Market1501", "folder:crops")
    cfg.DATALOADER.SAMPLER_TRAIN = "NaiveIdentitySampler"
    cfg.DATALOADER.NUM_INSTANCE = 2
    cfg.DATALOADER.NUM_WORKERS = cfg.TEST.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = cfg.TEST.IMS_PER_BATCH = 8
    cfg.TEST.PROTOCOL = "auto"
    cfg.SEED = 3
    for name in cfg.DATASETS.NAMES:
        for kind in STORAGES:
            pack_dataset(name, f"{name[:6]}.{kind}", kind=kind)
    return cfg


def use(cfg, kind, *, keep_files=False):
    """Read both sets from storages of a kind; their files are gone, unless they are to be kept."""
    cfg.DATASETS.STORAGE = (f"Market.{kind}", f"folder.{kind}")
    if not keep_files:
        shutil.rmtree("datasets")
        shutil.rmtree("crops")


def train_batches(cfg, count=12):
    return list(itertools.islice(build_reid_train_loader(cfg), count))


def assert_same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others):
        assert one["img_paths"] == other["img_paths"]
        assert {type(path) for path in one["img_paths"]} == {str}
        for key in ("images", "targets", "camids"):
            assert torch.equal(one[key], other[key]), key


@pytest.mark.parametrize("kind", STORAGES)
@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches(cfg, kind, workers):
    wanted = train_batches(cfg)
    use(cfg, kind)
    cfg.DATALOADER.NUM_WORKERS = workers
    assert_same(train_batches(cfg), wanted)


@pytest.mark.parametrize("kind", STORAGES)
def test_training_on_all_splits_with_a_cache(cfg, kind):
    cfg.DATASETS.COMBINEALL = True
    wanted = train_batches(cfg, 30)
    use(cfg, kind)
    cfg.DATALOADER.CACHE = "ram"
    assert_same(train_batches(cfg, 30), wanted)


def test_cache_of_whole_images_knows_their_sizes(cfg):
    cfg.DATALOADER.CACHE, cfg.INPUT.AUTOAUG.ENABLED, cfg.INPUT.AUTOAUG.PROB = "ram", True, 1.0
    items = open_dataset("folder:crops", storage=["folder.packed"]).train
    shutil.rmtree("crops")
    cache = build_image_cache(cfg, [item[0] for item in items], build_transforms(cfg))
    assert cache.stages == 0 and cache._store.nbytes == len(items) * (16 + 3 * 8 * 16)
    assert cache.fetch(0, items[0][0]).shape == (3, 16, 8)


def test_training_batches_of_several_ranks_and_a_resumed_run(cfg, monkeypatch):
    from fastreid.utils import comm

    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    wanted = train_batches(cfg)
    use(cfg, "packed")
    assert_same(train_batches(cfg), wanted)
    loader = build_reid_train_loader(cfg)
    loader.batch_sampler.sampler.start = 5 * cfg.SOLVER.IMS_PER_BATCH
    assert_same(list(itertools.islice(loader, 7)), wanted[5:])


def test_workers_that_are_started_anew(cfg):
    """By spawn, as on macOS and Windows: they get the data set as a pickle."""
    items = build_dataset("Market1501").train
    stored = open_dataset("Market1501", storage=["Market.tar"])
    _ = stored.train[0][0].read()  # the file is open in this process
    transforms = build_transforms(cfg)
    wanted = list(itertools.islice(build_reid_train_loader(cfg, train_set=CommDataset(items, transforms)), 6))
    shutil.rmtree("datasets")
    loader = build_reid_train_loader(cfg, train_set=CommDataset(stored.train, transforms), num_workers=1)
    loader.multiprocessing_context = "spawn"
    assert_same(list(itertools.islice(loader, 6)), wanted)


@pytest.mark.parametrize("workers", [0, 2])
def test_test_batches(cfg, workers):
    cfg.TEST.NUM_WORKERS = workers
    wanted = [build_reid_test_loader(cfg, dataset_name=name) for name in cfg.DATASETS.TESTS]
    wanted = [(list(loader), num_query) for loader, num_query in wanted]
    use(cfg, "packed")
    for name, (batches, num_query) in zip(cfg.DATASETS.TESTS, wanted):
        loader, found = build_reid_test_loader(cfg, dataset_name=name)
        assert found == num_query
        assert_same(list(loader), batches)


def test_broken_image_is_left_out_of_an_extraction_by_name(cfg):
    items = open_dataset("Market1501", storage=["Market.packed"]).query
    number = items[0][0]._number
    offset = int(items[0][0]._store._offset[number])
    with open("Market.packed", "r+b") as file:
        file.seek(offset + 20)
        file.write(b"not what it was")
    (batch,) = build_numbered_loader(cfg, items, [[0, 1]], skip_broken=True)
    assert batch.numbers == [1]
    assert [place for place, _ in batch.broken] == [0]
    assert f"{items[0][0]} in Market.packed is damaged" in batch.broken[0][1]


def test_sheet_of_augmentations_needs_no_files(cfg):
    wanted = augmentation_sheet(build_reid_train_loader(cfg).dataset, num_images=2, num_samples=2)
    use(cfg, "tar")
    assert torch.equal(augmentation_sheet(build_reid_train_loader(cfg).dataset, num_images=2, num_samples=2), wanted)
