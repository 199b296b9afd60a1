"""The cache gives the pixels of the files, to all processes, within its budget, and leaves nothing behind."""

from __future__ import annotations

import errno
import itertools
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

import fastreid.data.image_cache as image_cache
from fastreid.config import get_cfg
from fastreid.data import CommDataset, build_reid_train_loader
from fastreid.data.data_utils import ImageReadError, read_image
from fastreid.data.image_cache import ArrayStore, ImageCache, build_image_cache
from fastreid.data.transforms import ToTensor, build_transforms

from .conftest import write_image


@pytest.fixture
def cfg(market_root, tmp_path):
    cfg = get_cfg()
    cfg.DATASETS.ROOT = str(market_root)
    cfg.INPUT.SIZE_TRAIN = [20, 10]
    for switch in ("FLIP", "PADDING", "REA", "CJ"):
        cfg.INPUT[switch].ENABLED = True
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 8
    cfg.SEED = 3
    (tmp_path / "cache").mkdir()
    return cfg


def noise(seed, shape=(3, 4, 5)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def store_of(tmp_path, count=4, budget=10_000):
    return ArrayStore([60] * count, budget=budget, folder=tmp_path)


def test_arrays_come_back_as_they_were(tmp_path):
    store = store_of(tmp_path)
    assert store.room == 4 and store.get(2) is None
    store.put(2, noise(2))
    store.put(1, noise(1, (2, 3, 3)))  # smaller than its place
    store.put(3, noise(3).transpose(2, 0, 1)[::-1])  # not contiguous
    assert np.array_equal(store.get(2), noise(2))
    assert np.array_equal(store.get(1), noise(1, (2, 3, 3)))
    assert np.array_equal(store.get(3), noise(3).transpose(2, 0, 1)[::-1])
    assert store.get(0) is None
    store.get(2)[:] = 0  # a copy
    assert np.array_equal(store.get(2), noise(2))


def test_what_has_no_place_is_not_kept(tmp_path):
    store = store_of(tmp_path, budget=3 * 76)
    assert (store.room, store.nbytes) == (3, 3 * 76)
    store.put(3, noise(3))
    store.put(0, noise(0, (3, 4, 6)))  # larger than was said
    assert store.get(3) is None and store.get(0) is None
    assert store_of(tmp_path, budget=3 * 76 - 1).room == 2


def put_in_a_process(store, number):
    store.put(number, noise(number))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_it(tmp_path, method):
    store = store_of(tmp_path)
    process = multiprocessing.get_context(method).Process(target=put_in_a_process, args=(store, 1))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == 0
    assert np.array_equal(store.get(1), noise(1))
    copy = pickle.loads(pickle.dumps(store))
    assert np.array_equal(copy.get(1), noise(1))


def test_a_full_disk_is_an_error_at_once(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"DATALOADER\.CACHE: .* has no room for .* GiB; lower DATALOADER\.CACHE_GB"):
        store_of(tmp_path)


def test_an_image_is_read_once(tmp_path, monkeypatch):
    path, read = write_image(tmp_path / "a.png", (4, 5)), []
    monkeypatch.setattr(image_cache, "read_image", lambda name: read.append(name) or read_image(name))
    cache = ImageCache(store_of(tmp_path))
    for _ in range(3):
        assert torch.equal(cache.fetch(0, path), ToTensor()(Image.open(path)))
    assert read == [path]


@pytest.mark.parametrize("where", ["ram", "folder"])
@pytest.mark.parametrize("size", [[20, 10], [12], [0]])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same(cfg, tmp_path, where, size, workers):
    cfg.INPUT.SIZE_TRAIN = size
    cfg.INPUT.PADDING.ENABLED = size != [0]
    wanted = list(itertools.islice(build_reid_train_loader(cfg), 7))  # several passes
    cfg.DATALOADER.CACHE = "ram" if where == "ram" else str(tmp_path / "cache")
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_reid_train_loader(cfg)
    for batch, want in zip(loader, wanted):
        assert batch["img_paths"] == want["img_paths"]
        assert torch.equal(batch["images"], want["images"])
    store = loader.dataset._cache._store
    assert all(store.get(number) is not None for number in range(len(loader.dataset)))
    assert loader.dataset._cache.stages == (len(size) == 2)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_transform_that_is_no_pipeline_gets_a_picture(cfg):
    cfg.DATALOADER.CACHE = "ram"
    plain = build_reid_train_loader(get_plain(cfg), transforms=ToTensor()).dataset
    cached = build_reid_train_loader(cfg, transforms=ToTensor()).dataset
    for _ in range(2):
        assert torch.equal(cached[3]["images"], plain[3]["images"])


def get_plain(cfg):
    plain = cfg.clone()
    plain.DATALOADER.CACHE = ""
    return plain


def test_a_budget_holds_what_fits_and_says_so(cfg, caplog):
    cfg.DATALOADER.CACHE, cfg.DATALOADER.CACHE_GB = "ram", 5 * (600 + 16) / 2**30
    wanted = list(itertools.islice(build_reid_train_loader(get_plain(cfg)), 4))
    with caplog.at_level(logging.INFO, "fastreid"):
        loader = build_reid_train_loader(cfg)
    (record,) = (record for record in caplog.records if "CACHE" in record.message)
    assert record.levelname == "WARNING"
    assert "5 of 19 resized images fit" in record.message
    assert [batch["images"].tolist() for batch in itertools.islice(loader, 4)] == [
        batch["images"].tolist() for batch in wanted
    ]
    caplog.clear()
    cfg.DATALOADER.CACHE_GB = 1.0
    with caplog.at_level(logging.INFO, "fastreid"):
        build_reid_train_loader(cfg)
    (record,) = (record for record in caplog.records if "CACHE" in record.message)
    assert record.levelname == "INFO" and "19 of 19" in record.message


@pytest.mark.parametrize(
    ("where", "size", "text"),
    [
        (
            "/no/such/folder",
            1.0,
            r"DATALOADER\.CACHE must be '', ram, or a folder that is there, got '/no/such/folder'",
        ),
        ("ram", 0.0, r"DATALOADER\.CACHE_GB must be positive \(GiB\), got 0\.0"),
        ("ram", 1e-9, r"DATALOADER\.CACHE_GB 1e-09 is too little for one image; all 1 take"),
    ],
)
def test_impossible_settings_are_errors(cfg, tmp_path, where, size, text):
    cfg.DATALOADER.CACHE, cfg.DATALOADER.CACHE_GB = where, size
    with pytest.raises(ValueError, match=text):
        build_image_cache(cfg, [write_image(tmp_path / "a.png")], build_transforms(cfg))


def test_a_broken_image_is_an_error_when_it_is_its_turn(cfg, tmp_path):
    good, bad = write_image(tmp_path / "good.png"), write_image(tmp_path / "bad.png")
    with open(bad, "wb") as file:
        file.write(b"broken")
    cfg.INPUT.SIZE_TRAIN, cfg.INPUT.PADDING.ENABLED, cfg.DATALOADER.CACHE = [0], False, "ram"
    transform = build_transforms(cfg)
    items = [(bad, 0, 0), (good, 1, 0)]
    dataset = CommDataset(items, transform, cache=build_image_cache(cfg, [bad, good], transform))
    assert dataset[1]["images"].shape == (3, 16, 8)
    with pytest.raises(ImageReadError, match=r"bad\.png"):
        dataset[0]


def test_a_killed_run_leaves_nothing(tmp_path):
    code = f"""
import time
import numpy as np
from fastreid.data.image_cache import ArrayStore
store = ArrayStore([60] * 4, budget=10_000, folder={str(tmp_path)!r})
store.put(0, np.zeros((3, 4, 5), np.uint8))
print("put", flush=True)
time.sleep(300)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "put\n"
        deadline = time.monotonic() + 60
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=deadline - time.monotonic())
    finally:
        process.kill()
        process.wait(timeout=60)
        process.stdout.close()
    assert list(tmp_path.iterdir()) == []
