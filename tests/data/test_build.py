from __future__ import annotations

import inspect
import itertools
import logging
import pickle
import random
import traceback

import numpy as np
import pytest
import torch

import fastreid.data.build as build
from fastreid.config import get_cfg
from fastreid.data import CommDataset, build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.prefetch import DevicePrefetcher
from fastreid.data.samplers import NaiveIdentitySampler, TrainingSampler
from fastreid.data.transforms import ToTensor, build_transforms

from .conftest import MARKET_FILES, write_image


@pytest.fixture
def cfg(market_root):
    cfg = get_cfg()
    cfg.DATASETS.ROOT = str(market_root)
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [16, 8]
    for switch in ("FLIP", "PADDING", "REA", "CJ"):
        cfg.INPUT[switch].ENABLED = True
    cfg.DATALOADER.SAMPLER_TRAIN = "NaiveIdentitySampler"
    cfg.DATALOADER.NUM_INSTANCE = 2
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 8
    cfg.TEST.IMS_PER_BATCH = 4
    cfg.TEST.NUM_WORKERS = 0
    cfg.SEED = 3
    return cfg


@pytest.fixture
def items(tmp_path):
    return [(write_image(tmp_path / f"{n}.png", seed=n), f"set_{n // 3}", f"set_{n % 2}") for n in range(12)]


def batches(loader, count):
    return list(itertools.islice(loader, count))


def assert_same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others):
        assert one["img_paths"] == other["img_paths"]
        for key in ("images", "targets", "camids"):
            assert torch.equal(one[key], other[key]), key


def test_parameters_are_those_of_old():
    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    required = inspect.Parameter.empty
    train = {"train_set": required, "sampler": None, "total_batch_size": required, "num_workers": 0}
    test = {"test_set": required, "test_batch_size": required, "num_query": required, "num_workers": 4}
    assert defaults(build_reid_train_loader) == train | {"pin_memory": None, "prefetch_factor": 2}
    assert defaults(build_reid_test_loader) == test | {"pin_memory": None}


def test_training_batches(cfg):
    loader = build_reid_train_loader(cfg)
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert (loader.dataset.num_classes, loader.dataset.num_cameras) == (6, 4)
    for batch in batches(loader, 10):  # more than one pass
        assert batch["images"].dtype == torch.uint8
        assert batch["images"].shape == (8, 3, 16, 8)
        assert batch["images"].device.type == "cpu"
        assert batch["targets"].dtype == batch["camids"].dtype == torch.int64
        assert batch["targets"].reshape(4, 2).diff(dim=1).eq(0).all()
        assert len(batch["targets"].unique()) == 4
        pids = [f"market1501_{int(path.split('/')[-1].split('_')[0])}" for path in batch["img_paths"]]
        assert [loader.dataset.pids[target] for target in batch["targets"]] == pids


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_workers_does_not_change_the_items(cfg, workers):
    alone = batches(build_reid_train_loader(cfg), 6)
    assert_same(batches(build_reid_train_loader(cfg, num_workers=workers), 6), alone)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("sampler", ["NaiveIdentitySampler", "TrainingSampler"])
def test_number_of_ranks_does_not_change_the_global_batches(cfg, as_rank, sampler, world):
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    alone = batches(build_reid_train_loader(cfg), 6)
    shares = []
    for rank in range(world):
        as_rank(rank, world)
        shares.append(batches(build_reid_train_loader(cfg), 6))
    for number, whole in enumerate(alone):
        parts = [share[number] for share in shares]
        assert {len(part["targets"]) for part in parts} == {8 // world}
        together = sorted(image.numpy().tobytes() for part in parts for image in part["images"])
        assert together == sorted(image.numpy().tobytes() for image in whole["images"])


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_gets_the_batches_that_were_to_come(cfg, workers):
    whole = batches(build_reid_train_loader(cfg), 9)
    cfg.SEED = 99  # the seed comes from the checkpoint
    resumed = build_reid_train_loader(cfg, num_workers=workers)
    resumed.batch_sampler.sampler.seed = 3
    resumed.batch_sampler.sampler.start = 4 * cfg.SOLVER.IMS_PER_BATCH
    assert_same(batches(resumed, 5), whole[4:])


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_streams_alone(cfg, workers):
    loader = build_reid_train_loader(cfg, num_workers=workers)
    test_loader, _ = build_reid_test_loader(cfg, dataset_name="Market1501", num_workers=workers)

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    batches(loader, 4)
    batches(test_loader, 4)
    assert states() == before


def test_set_can_be_sent_to_workers_that_are_not_forked(cfg):
    for switch in ("AUTOAUG", "AUGMIX", "AFFINE", "RPT"):
        cfg.INPUT[switch].ENABLED = True
    loader = build_reid_train_loader(cfg)
    index = next(iter(loader.batch_sampler))[0]
    sent = pickle.loads(pickle.dumps((loader.dataset, index, loader.collate_fn, loader.worker_init_fn)))
    assert torch.equal(sent[0][sent[1]]["images"], loader.dataset[index]["images"])
    assert sent[2:] == (loader.collate_fn, loader.worker_init_fn)


def test_seed_of_the_config_decides(cfg):
    first = batches(build_reid_train_loader(cfg), 3)
    np.random.rand(3)
    assert_same(batches(build_reid_train_loader(cfg), 3), first)
    cfg.SEED = -1
    seeds = {build_reid_train_loader(cfg).batch_sampler.sampler.seed for _ in range(3)}
    assert len(seeds) == 3


def test_test_batches(cfg):
    loader, num_query = build_reid_test_loader(cfg, dataset_name="Market1501")
    assert num_query == 2
    read = list(loader)
    assert [len(batch["targets"]) for batch in read] == [4, 2]
    names = [path.split("/")[-1] for batch in read for path in batch["img_paths"]]
    assert names == MARKET_FILES["query"] + MARKET_FILES["bounding_box_test"][1:]
    assert torch.cat([batch["targets"] for batch in read]).tolist() == [3, 4, 0, 3, 4, 4]
    assert torch.cat([batch["camids"] for batch in read]).tolist() == [0, 5, 4, 1, 1, 5]
    assert read[0]["images"].shape == (4, 3, 16, 8)
    assert_same(list(loader), read)
    assert_same(list(build_reid_test_loader(cfg, "Market1501", num_workers=2)[0]), read)


@pytest.mark.parametrize("world", [2, 4, 7])
def test_ranks_test_each_image_once_in_order(cfg, as_rank, world):
    whole = [path for batch in build_reid_test_loader(cfg, "Market1501")[0] for path in batch["img_paths"]]
    together = []
    for rank in range(world):
        as_rank(rank, world)
        read = list(build_reid_test_loader(cfg, "Market1501")[0])
        assert all(len(batch["targets"]) <= max(1, 4 // world) for batch in read)
        together += [path for batch in read for path in batch["img_paths"]]
    assert together == whole


def test_explicit_arguments(items):
    dataset = CommDataset(items, ToTensor())
    loader = build_reid_train_loader(dataset, total_batch_size=4)
    assert isinstance(loader.batch_sampler.sampler, TrainingSampler)
    assert batches(loader, 2)[1]["images"].shape == (4, 3, 16, 8)
    sampler = NaiveIdentitySampler(items, 6, 3, seed=0)
    loader = build_reid_train_loader(train_set=dataset, sampler=sampler, total_batch_size=6, num_workers=1)
    assert loader.batch_sampler.sampler is sampler
    assert batches(loader, 1)[0]["targets"].reshape(2, 3).diff(dim=1).eq(0).all()
    loader, num_query = build_reid_test_loader(dataset, 5, 3, num_workers=0)
    assert (num_query, [len(batch["targets"]) for batch in loader]) == (3, [5, 5, 2])


def test_own_sets_samplers_and_transforms_beside_a_config(cfg, items):
    dataset = CommDataset(items, ToTensor())
    sampler = TrainingSampler(12, shuffle=False, seed=0)
    loader = build_reid_train_loader(cfg, train_set=dataset, sampler=sampler)
    assert batches(loader, 1)[0]["img_paths"] == [item[0] for item in items[:8]]
    loader, num_query = build_reid_test_loader(cfg, test_set=dataset, num_query=4)
    assert (num_query, len(loader)) == (4, 3)
    loader = build_reid_train_loader(cfg, transforms=build_transforms(cfg, is_train=False))
    assert len(loader.dataset.transform.transforms) == 1  # the resize
    loader, _ = build_reid_test_loader(cfg, "Market1501", transforms=ToTensor())
    assert isinstance(loader.dataset.transform, ToTensor)


def test_what_a_given_set_makes_useless_is_logged(cfg, items, caplog):
    dataset = CommDataset(items, ToTensor())
    build_reid_train_loader(cfg, train_set=dataset, transforms=ToTensor(), combineall=True)
    assert "train_set is given, so transforms, combineall are not used" in caplog.text
    assert "CACHE" not in caplog.text
    cfg.DATALOADER.CACHE = "ram"
    build_reid_train_loader(cfg, train_set=dataset)
    assert "train_set is given, so DATALOADER.CACHE is not used" in caplog.text


def test_several_sets_are_concatenated(cfg, monkeypatch):
    class Other:
        """As little as a data set may be."""

        query = gallery = ()

        def __init__(self, root):
            self.train = [(f"{root}/{n}.jpg", f"other_{n}", "other_0") for n in range(4)]

    monkeypatch.setitem(DATASET_REGISTRY._objects, "Other", Other)
    cfg.DATASETS.NAMES = ("Other", "Market1501")
    dataset = build_reid_train_loader(cfg).dataset
    assert len(dataset) == 4 + 19
    assert dataset.num_classes == 4 + 6
    assert dataset.img_items[0] == (f"{cfg.DATASETS.ROOT}/0.jpg", "other_0", "other_0")


@pytest.fixture
def own(cfg, tmp_path, monkeypatch):
    """Three sets of one's own: two tables of one name without cameras, and a folder per identity."""
    monkeypatch.chdir(tmp_path)
    for place in ("shop", "street"):
        for pid in (1, 2):
            for number in (1, 2, 3):
                write_image(tmp_path / place / f"{pid}" / f"{number}.png", seed=10 * pid + number)
        rows = "".join(f"{pid}/{number}.png,{pid}\n" for pid in (1, 2) for number in (1, 2, 3))
        (tmp_path / place / "all.csv").write_text("path,pid\n" + rows)
    return cfg


def test_registered_sets_and_ones_own_are_trained_on_together(own):
    own.DATASETS.NAMES = ("Market1501", "csv:shop/all.csv", "csv:street/all.csv", "folder:shop")
    loader = build_reid_train_loader(own)
    dataset = loader.dataset
    assert (len(dataset), dataset.num_classes) == (19 + 3 * 6, 6 + 3 * 2)
    assert {pid.rpartition("_")[0] for pid in dataset.pids} == {
        "market1501", "shop-all.csv", "street-all.csv", "shop",
    }  # fmt: skip
    assert dataset.num_cameras == 4 + 3  # of images without a camera, all are of one
    assert {batch["images"].shape[0] for batch in batches(loader, 5)} == {8}
    own.DATASETS.COMBINEALL = True
    combined = build_reid_train_loader(own).dataset
    assert (len(combined), combined.num_classes) == (19 + 5 + 3 * 6, 6 + 2 + 3 * 2)


def test_sets_of_ones_own_that_would_share_an_identity_are_an_error(own, tmp_path):
    write_image(tmp_path / "market1501" / "2" / "1.png")
    own.DATASETS.NAMES = ("Market1501", "folder:market1501")
    with pytest.raises(ValueError, match="'Market1501' and 'folder:market1501' both have an identity 'market1501_2'"):
        build_reid_train_loader(own)


def test_set_without_cameras_is_tested_only_by_a_protocol_that_says_so(own):
    with pytest.raises(ValueError, match=r"csv:shop/all\.csv: no camera is known of 6 of 6 test images.*cameraless"):
        build_reid_test_loader(own, "csv:shop/all.csv")
    own.TEST.PROTOCOL = "cameraless"
    loader, num_query = build_reid_test_loader(own, "csv:shop/all.csv")
    assert (num_query, len(loader.dataset)) == (2, 6)
    assert torch.cat([batch["camids"] for batch in loader]).tolist() == [-1] * 6


def test_testing_on_training_images_is_a_warning(own, caplog):
    own.TEST.PROTOCOL = "cameraless"
    build_reid_test_loader(own, "folder:shop")
    assert "also trained on" not in caplog.text
    own.DATASETS.NAMES = ("folder:shop",)
    build_reid_test_loader(own, "folder:shop")
    assert "folder:shop: 6 test images are also trained on, so its numbers say nothing" in caplog.text


def test_combining(cfg):
    assert len(build_reid_train_loader(cfg).dataset) == 19
    assert len(build_reid_train_loader(cfg, combineall=True).dataset) == 19 + 5
    cfg.DATASETS.COMBINEALL = True
    assert len(build_reid_train_loader(cfg).dataset) == 19 + 5
    assert len(build_reid_train_loader(cfg, combineall=False).dataset) == 19
    assert len(build_reid_test_loader(cfg, "Market1501")[0].dataset) == 6


def test_log_lines(cfg, caplog):
    with caplog.at_level(logging.INFO):
        build_reid_train_loader(cfg)
        build_reid_test_loader(cfg, "Market1501")
    lines = [line for line in caplog.messages if "published" not in line]
    assert [line.splitlines()[0] for line in lines] == [
        "Prepare training set",
        "=> Loaded Market1501 in csv format: ",
        "Using training sampler NaiveIdentitySampler",
        "Prepare testing set",
        "=> Loaded Market1501 in csv format: ",
    ]


def test_other_ranks_do_not_repeat_the_tables(cfg, caplog, as_rank):
    as_rank(1, 2)
    with caplog.at_level(logging.INFO):
        build_reid_train_loader(cfg)
        build_reid_test_loader(cfg, "Market1501")
    assert "=> Loaded" not in caplog.text


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_broken_image_ends_the_loop_with_its_name(cfg, market_root, workers):
    (market_root / "Market-1501-v15.09.15" / "bounding_box_train" / "0007_c1s1_000001_01.jpg").write_bytes(b"broken")
    with pytest.raises(OSError, match=r"cannot decode the image .*0007_c1s1_000001_01\.jpg") as caught:
        batches(build_reid_train_loader(cfg, num_workers=workers), 10)
    traceback.clear_frames(caught.tb)  # they hold the iterator in a cycle, and its workers would end by time-out


def test_batch_that_the_ranks_cannot_share_is_an_error(cfg, as_rank):
    as_rank(0, 3)
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 8 images .* 3 process.* cannot share equally; use 6 or 9"):
        build_reid_train_loader(cfg)
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 4 images .* 3 process.*"):
        build_reid_train_loader(CommDataset([("a", "b", "c")] * 9), total_batch_size=4)


def test_set_smaller_than_a_batch_is_an_error(cfg, items):
    cfg.SOLVER.IMS_PER_BATCH = 20
    message = (
        r"SOLVER.IMS_PER_BATCH is 20, but DATASETS.NAMES \(Market1501\) has only 19 training images, less than one"
    )
    with pytest.raises(ValueError, match=message):
        build_reid_train_loader(cfg)
    with pytest.raises(ValueError, match="IMS_PER_BATCH is 13, but the given set has only 12 training images"):
        build_reid_train_loader(CommDataset(items), total_batch_size=13)


def test_too_few_identities_is_an_error(cfg):
    cfg.DATALOADER.NUM_INSTANCE = 1
    with pytest.raises(ValueError, match="a batch needs 8 different identities, but the training set has 6"):
        build_reid_train_loader(cfg)


def test_sets_without_the_split_are_errors(cfg, monkeypatch):
    class Empty:
        train = query = gallery = ()

        def __init__(self, root):
            pass

    monkeypatch.setitem(DATASET_REGISTRY._objects, "Empty", Empty)
    cfg.DATASETS.NAMES = ("Empty",)
    with pytest.raises(
        ValueError, match=r"Empty has no training images, so it cannot be in DATASETS\.NAMES; leave it out"
    ):
        build_reid_train_loader(cfg)
    with pytest.raises(
        ValueError, match=r"Empty has no query images \(.* two images\), so .* take it out of DATASETS\.TESTS"
    ):
        build_reid_test_loader(cfg, "Empty")
    cfg.DATASETS.NAMES = ()
    with pytest.raises(ValueError, match=r"DATASETS.NAMES is empty; name at least one"):
        build_reid_train_loader(cfg)


def test_unknown_set_names_the_nearest(cfg):
    with pytest.raises(KeyError, match=r"no 'Market1510'. Did you mean 'Market1501'"):
        build_reid_test_loader(cfg, "Market1510")


def test_impossible_test_loaders_are_errors(cfg, items):
    with pytest.raises(ValueError, match=r"needs dataset_name=\.\.\., or test_set=\.\.\. and num_query=\.\.\."):
        build_reid_test_loader(cfg)
    with pytest.raises(ValueError, match="the test set is empty"):
        build_reid_test_loader(CommDataset([]), 4, 0)
    with pytest.raises(ValueError, match=r"TEST.IMS_PER_BATCH must be >= 1, got 0"):
        build_reid_test_loader(CommDataset(items), 0, 0)
    with pytest.raises(ValueError, match=r"DATALOADER\.NUM_WORKERS and TEST\.NUM_WORKERS must be >= 0 .*got -1"):
        build_reid_test_loader(CommDataset(items), 4, 0, num_workers=-1)


def test_workers_use_one_thread():
    class Threads(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return {"targets": torch.get_num_threads()}

    loader, _ = build_reid_test_loader(Threads(), 2, 1, num_workers=1)
    assert next(iter(loader))["targets"].tolist() == [1, 1]


def test_opencv_uses_no_thread_of_its_own(monkeypatch):
    calls = []
    monkeypatch.setitem(build.sys.modules, "cv2", type("cv2", (), {"setNumThreads": calls.append}))
    threads = torch.get_num_threads()
    build._use_one_thread(0)
    torch.set_num_threads(threads)
    assert calls == [0]


def test_memory_is_pinned_for_a_gpu_only(cfg, items, monkeypatch):
    assert build_reid_train_loader(cfg).pin_memory is torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert build_reid_train_loader(cfg).pin_memory is True
    assert build_reid_test_loader(CommDataset(items), 4, 1, num_workers=0)[0].pin_memory is True
    cfg.MODEL.DEVICE = "cpu"
    assert build_reid_train_loader(cfg).pin_memory is False
    assert build_reid_test_loader(cfg, "Market1501")[0].pin_memory is False


def test_old_name_of_the_root_is_read_when_used(monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", "/first")
    from fastreid.data.build import _root

    assert _root == "/first"
    monkeypatch.setenv("FASTREID_DATASETS", "/second")
    assert build._root == "/second"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        build.nothing  # noqa: B018


def test_names_that_clients_import():
    import fastreid.data as data

    assert sorted(data.__all__) == [
        "CommDataset", "build_reid_test_loader", "build_reid_train_loader", "datasets", "samplers", "transforms",
    ]  # fmt: skip
    from fastreid.data.build import fast_batch_collator, trivial_batch_collator
    from fastreid.data.datasets.bases import Dataset, ImageDataset
    from fastreid.data.samplers import InferenceSampler
    from fastreid.data.transforms import AugMix, AutoAugment, RandomPatch

    collators = fast_batch_collator, trivial_batch_collator
    for obj in (*collators, Dataset, ImageDataset, InferenceSampler, AugMix, AutoAugment, RandomPatch):
        assert callable(obj)
    for module in (data.datasets, data.samplers, data.transforms, data.build):
        assert set(module.__all__) <= set(dir(module))


def test_there_are_no_more_workers_than_cores(cfg, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    cfg.DATALOADER.NUM_WORKERS, cfg.TEST.NUM_WORKERS = 8, 2
    assert build_reid_train_loader(cfg).num_workers == 3
    assert "8 worker processes are asked for, but there are 3 cores: taking 3" in caplog.text
    assert build_reid_test_loader(cfg, dataset_name="Market1501")[0].num_workers == 2


def test_batches_made_ahead_are_the_configs(cfg):
    cfg.DATALOADER.NUM_WORKERS = 1
    assert build_reid_train_loader(cfg).prefetch_factor == 2
    cfg.DATALOADER.PREFETCH_FACTOR = 5
    loader = build_reid_train_loader(cfg)
    assert (loader.prefetch_factor, loader.persistent_workers) == (5, True)
    assert build_reid_train_loader(cfg, num_workers=0).prefetch_factor is None
    cfg.DATALOADER.PREFETCH_FACTOR = 0
    with pytest.raises(ValueError, match=r"DATALOADER\.PREFETCH_FACTOR must be at least 1 batch, got 0"):
        build_reid_train_loader(cfg)


@pytest.mark.parametrize("workers", [0, 2])
def test_stages_on_the_device_change_no_batch(cfg, workers):
    wanted = batches(build_reid_train_loader(cfg), 4)
    cfg.INPUT.ON_DEVICE = ("horizontal_flip", "color_jitter", "random_erasing")
    loader = build_reid_train_loader(cfg, num_workers=workers)
    raw = next(loader.raw_batches())
    assert {name: tuple(drawn.shape) for name, drawn in raw["on_device"].items()} == {
        "horizontal_flip": (8, 1),
        "color_jitter": (8, 9),
        "random_erasing": (8, 4),
    }
    assert not torch.equal(raw["images"], wanted[0]["images"])
    made = batches(loader, 4)
    assert_same(made, wanted)
    assert set(made[0]) == set(wanted[0])
    assert_same(list(itertools.islice(DevicePrefetcher(loader, "cpu"), 4)), wanted)
