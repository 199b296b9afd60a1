"""A training item is a function of the seed and of its position in the global stream."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.data.build import build_reid_test_loader, build_reid_train_loader

from .helpers import RECIPE, REPO, deadline, environment, options, tiny_cfg, write_market

# Prints for each rank its batches, lists of (file, target, digest of the pixels), and what it says to a batch of 7.
ON_TWO_RANKS = """
import hashlib, json, multiprocessing, sys
from itertools import islice
import torch.distributed as dist
from fastreid.config import get_cfg
from fastreid.data.build import build_reid_train_loader

def work(rank, queue):
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
    cfg = get_cfg()
    cfg.merge_from_file(sys.argv[2])
    cfg.merge_from_list(sys.argv[3:])
    batches = []
    for batch in islice(build_reid_train_loader(cfg), 7):
        digests = [hashlib.sha1(image.numpy().tobytes()).hexdigest() for image in batch["images"]]
        batches.append(sorted(zip(batch["img_paths"], batch["targets"].tolist(), digests)))
    cfg.SOLVER.IMS_PER_BATCH = 7
    try:
        build_reid_train_loader(cfg)
    except ValueError as error:
        queue.put((rank, (batches, str(error))))
    else:
        queue.put((rank, (batches, "")))
    dist.destroy_process_group()

context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
processes = [context.Process(target=work, args=(rank, queue)) for rank in range(2)]
for process in processes:
    process.start()
print(json.dumps([seen for _, seen in sorted((queue.get() for _ in processes), key=lambda pair: pair[0])]))
for process in processes:
    process.join()
"""

# Every transform of the recipe that draws, more often than in the recipe.
AUGMENTED = {"INPUT__REA__PROB": 0.7, "INPUT__FLIP__PROB": 0.5, "INPUT__PADDING__SIZE": 4}


def read_batches(count, **more):
    return list(islice(build_reid_train_loader(tiny_cfg(**AUGMENTED, **more)), count))


def same(one, other):
    return (
        torch.equal(one["images"], other["images"])
        and torch.equal(one["targets"], other["targets"])
        and torch.equal(one["camids"], other["camids"])
        and list(one["img_paths"]) == list(other["img_paths"])
    )


@pytest.mark.parametrize("sampler", ["NaiveIdentitySampler", "TrainingSampler"])
def test_items_do_not_depend_on_the_number_of_workers(market_root, sampler):
    alone = read_batches(14, DATALOADER__SAMPLER_TRAIN=sampler)
    with deadline(60):
        helped = read_batches(14, DATALOADER__SAMPLER_TRAIN=sampler, DATALOADER__NUM_WORKERS=2)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_items_do_not_depend_on_the_global_random_streams(market_root):
    batches = []
    for seed in (0, 1):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        batches.append(read_batches(4))
    assert all(same(a, b) for a, b in zip(*batches, strict=True))


def test_reading_items_leaves_the_global_random_streams_where_they_were(market_root):
    loader = iter(build_reid_train_loader(tiny_cfg(**AUGMENTED)))
    next(loader)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    for _ in range(3):
        next(loader)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_another_seed_gives_other_items(market_root):
    first, second = read_batches(2, SEED=1)[0], read_batches(2, SEED=2)[0]
    assert not same(first, second)


def test_an_image_looks_different_at_another_position(market_root):
    looks = {}
    for batch in read_batches(24):
        for path, image in zip(batch["img_paths"], batch["images"]):
            looks.setdefault(path, set()).add(hashlib.sha1(image.numpy().tobytes()).hexdigest())
    assert len(looks) == 48
    assert min(len(digests) for digests in looks.values()) > 1


@pytest.fixture(scope="module")
def on_two_ranks(tiny_market, tmp_path_factory):
    """What each of two processes reads, and its answer to a batch that two cannot share."""
    store = tmp_path_factory.mktemp("store") / "file"
    command = [sys.executable, "-c", ON_TWO_RANKS, store, RECIPE, *options(**AUGMENTED)]
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, cwd=REPO, env=environment(tiny_market), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_ranks_read_the_items_that_one_reads(market_root, on_two_ranks):
    ranks = [batches for batches, _ in on_two_ranks]
    for batch, *parts in zip(read_batches(7), *ranks, strict=True):
        digests = [hashlib.sha1(image.numpy().tobytes()).hexdigest() for image in batch["images"]]
        alone = sorted(zip(map(str, batch["img_paths"]), batch["targets"].tolist(), digests))
        assert [len(part) for part in parts] == [4, 4]
        assert sorted(tuple(item) for part in parts for item in part) == alone


def test_a_batch_that_two_ranks_cannot_share_is_an_error_on_both(on_two_ranks):
    assert all("IMS_PER_BATCH" in answer and "7" in answer for _, answer in on_two_ranks)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_uint8_with_the_contracted_keys(market_root, workers):
    batch = read_batches(1, DATALOADER__NUM_WORKERS=workers)[0]
    assert set(batch) >= {"images", "targets", "camids", "img_paths"}
    assert batch["images"].dtype == torch.uint8
    assert batch["images"].shape == (8, 3, 32, 16)
    assert batch["targets"].dtype == batch["camids"].dtype == torch.int64
    assert isinstance(batch["img_paths"], list)
    assert batch["images"].max() > 128


def test_the_test_loader_reads_queries_first_and_every_image_once(market_root):
    loader, num_query = build_reid_test_loader(tiny_cfg(), dataset_name="Market1501")
    batches = list(loader)
    paths = [path for batch in batches for path in batch["img_paths"]]
    assert num_query == 5
    assert len(paths) == len(set(paths)) == 5 + 23  # junk boxes are dropped
    assert all("query" in path for path in paths[:5]) and not any("query" in path for path in paths[5:])
    assert all(batch["images"].dtype == torch.uint8 for batch in batches)
    targets = torch.cat([batch["targets"] for batch in batches])
    assert (targets == 0).sum() == 3  # distractors stay


def test_training_labels_are_dense_and_sorted_as_strings(market_root):
    dataset = build_reid_train_loader(tiny_cfg()).dataset
    assert dataset.num_classes == 8
    assert dataset.num_cameras == 2
    assert list(dataset.pids) == sorted(f"market1501_{pid}" for pid in range(2, 10))
    paths = [item[0] for item in dataset.img_items]
    assert paths == sorted(paths)


@pytest.mark.parametrize("kept", [slice(0, 0), slice(0, 60), slice(0, -200)], ids=["empty", "head only", "cut off"])
def test_an_image_that_does_not_decode_is_an_error_that_names_the_file(tmp_path, monkeypatch, kept):
    root = write_market(tmp_path, train_ids=4, images_per_camera=1)
    bad = root / "Market-1501-v15.09.15" / "bounding_box_train" / "0003_c1s1_000000_01.jpg"
    bad.write_bytes(bad.read_bytes()[kept])
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    with deadline(60), pytest.raises(OSError, match=bad.name):
        read_batches(8)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_images_of_any_mode_become_rgb(tmp_path, monkeypatch, mode):
    root = write_market(tmp_path, train_ids=4, images_per_camera=1)
    odd = root / "Market-1501-v15.09.15" / "bounding_box_train" / "0003_c1s1_000000_01.jpg"
    pixels = Image.open(odd)
    image = Image.fromarray(np.full((32, 16), 300, np.uint16)) if mode == "I;16" else pixels.convert(mode)
    image.save(odd, format="TIFF")
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    for batch in read_batches(4):
        assert batch["images"].shape[1] == 3


def test_identity_and_camera_are_read_from_the_file_name_alone(tmp_path, monkeypatch):
    root = write_market(tmp_path / "2020_c3" / "0007_c6s1_x", train_ids=4, images_per_camera=1)
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    dataset = build_reid_train_loader(tiny_cfg()).dataset
    assert list(dataset.pids) == [f"market1501_{pid}" for pid in range(2, 6)]
    assert dataset.num_cameras == 2
