from __future__ import annotations

import itertools
import logging
import re
from collections import Counter

import pytest

import fastreid.data.build as build
from fastreid.config import get_cfg
from fastreid.data import build_reid_train_loader
from fastreid.data.common import CommDataset
from fastreid.data.samplers import MixedSampler, NaiveIdentitySampler, build_mixed_sampler
from fastreid.data.samplers.shares import set_shares

# identities and images of each in three sets
SETS = {"large": (60, 5), "middle": (20, 4), "small": (8, 3)}
ITEMS = [
    (f"{name}_{pid}_{n}.jpg", f"{name}_{pid}", f"{name}_{n % 3}")
    for name, (pids, images) in SETS.items()
    for pid in range(pids)
    for n in range(images)
]
SIZES = [(name, pids * images) for name, (pids, images) in SETS.items()]
SAMPLERS = [
    "BalancedIdentitySampler", "CameraAwareIdentitySampler", "ImbalancedDatasetSampler", "NaiveIdentitySampler",
    "TrainingSampler",
]  # fmt: skip


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.SOLVER.IMS_PER_BATCH = 32
    cfg.DATALOADER.NUM_INSTANCE = 4
    cfg.DATALOADER.SAMPLER_TRAIN = "NaiveIdentitySampler"
    cfg.DATASETS.SHARES = "tempered"
    cfg.SEED = 5
    return cfg


@pytest.fixture
def dataset():
    return CommDataset(ITEMS)


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def set_of(index):
    return ITEMS[index][1].split("_")[0]


@pytest.mark.parametrize("mode", ["equal", "proportional", "tempered"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_set_gets_its_share(cfg, dataset, name, mode):
    cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATASETS.SHARES = name, mode
    k = 4 if "Identity" in name else 1
    shares = dict(zip(SETS, set_shares(mode, [size for _, size in SIZES], 0.5)))
    stream = take(build_mixed_sampler(cfg, dataset, SIZES), 32 * 300)
    for begin in range(0, len(stream), 32):
        batch = stream[begin : begin + 32]
        used = Counter(map(set_of, batch))
        for one, share in shares.items():
            assert abs(used[one] / k - share * 32 / k) < 1
        if k > 1:
            pids = [ITEMS[index][1] for index in batch]
            assert all(pids[i] == pids[i - i % k] for i in range(32))
            assert set(Counter(pids).values()) == {k}
    total = Counter(map(set_of, stream))
    for one, share in shares.items():
        assert abs(total[one] - share * len(stream)) < 4 * k  # places, not per cent
    assert set(stream) == set(range(len(ITEMS)))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_get_the_stream_of_one(cfg, dataset, as_rank, name, world):
    cfg.DATALOADER.SAMPLER_TRAIN = name
    alone = take(build_mixed_sampler(cfg, dataset, SIZES), 640)
    seen = {}
    for rank in range(world):
        as_rank(rank, world)
        share = take(build_mixed_sampler(cfg, dataset, SIZES), 640 // world)
        for number, index in enumerate(share):
            assert index.position // 32 == number // (32 // world)
            seen[index.position] = int(index)
        if "Identity" in name:
            groups = [{ITEMS[index][1] for index in share[i : i + 4]} for i in range(0, len(share), 4)]
            assert all(len(group) == 1 for group in groups)
    assert [seen[position] for position in range(640)] == alone


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("batches", [1, 9, 30])
def test_resumed_stream_goes_on(cfg, dataset, name, batches):
    cfg.DATALOADER.SAMPLER_TRAIN = name
    whole = take(build_mixed_sampler(cfg, dataset, SIZES), 32 * 45)
    cfg.SEED = 77
    resumed = build_mixed_sampler(cfg, dataset, SIZES)
    assert take(resumed, 320) != whole[:320]
    resumed.seed, resumed.start = 5, 32 * batches
    assert take(resumed, 32 * 10) == whole[32 * batches : 32 * (batches + 10)]


def test_sets_are_mixed_within_a_batch(cfg, dataset):
    cfg.DATASETS.SHARES = "equal"
    stream = take(build_mixed_sampler(cfg, dataset, SIZES), 32 * 200)
    first_half = Counter(set_of(index) for begin in range(0, len(stream), 32) for index in stream[begin : begin + 16])
    assert all(0.28 < count / 3200 < 0.39 for count in first_half.values())


def test_sets_of_one_size_do_not_move_in_step(cfg):
    items = [("", f"{name}_{pid}", "c") for name in "ab" for pid in range(6) for _ in range(2)]
    cfg.DATASETS.SHARES, cfg.DATALOADER.NUM_INSTANCE, cfg.SOLVER.IMS_PER_BATCH = "equal", 1, 2
    stream = take(build_mixed_sampler(cfg, CommDataset(items), [("a", 12), ("b", 12)]), 600)
    pairs = {tuple(sorted(items[index][1] for index in stream[i : i + 2])) for i in range(0, 600, 2)}
    assert len(pairs) == 36


def test_log_tells_the_shares(cfg, dataset, caplog):
    with caplog.at_level(logging.INFO):
        build_mixed_sampler(cfg, dataset, SIZES)
    assert caplog.messages == [
        "Using training sampler NaiveIdentitySampler; DATASETS.SHARES tempered of the 8 identities of a batch: "
        "large 55.6% (4.45), middle 28.7% (2.30), small 15.7% (1.26)"
    ]


def test_one_set_needs_no_mixing(cfg):
    items = [item for item in ITEMS if item[1].startswith("large")]
    sampler = build_mixed_sampler(cfg, CommDataset(items), [("large", 300)])
    assert type(sampler) is NaiveIdentitySampler


@pytest.mark.parametrize(("changes", "message"), [
    ({"DATASETS.SHARES": "even"}, "DATASETS.SHARES must be empty (one pool), or one of equal, proportional, tempered"),
    ({"DATALOADER.SAMPLER_TRAIN": "SetReWeightSampler"}, "DATASETS.SHARES 'tempered' cannot be had with SetReWeight"),
    ({"DATASETS.SHARES": "equal", "SOLVER.IMS_PER_BATCH": 128}, "DATASETS.SHARES 'equal' gives small up to 11 of the "
     "32 identities of a batch, but it has 8; use another SHARES, lower SOLVER.IMS_PER_BATCH, or raise"),
    ({"SOLVER.IMS_PER_BATCH": 30}, "no multiple of DATALOADER.NUM_INSTANCE 4"),
])  # fmt: skip
def test_what_cannot_be_mixed_is_an_error(cfg, dataset, changes, message):
    cfg.merge_from_list([word for change in changes.items() for word in change])
    with pytest.raises(ValueError, match=re.escape(message)):
        build_mixed_sampler(cfg, dataset, SIZES)


class Crops:
    """A data set that needs no files, as long as no image is read."""

    def __init__(self, name):
        self.train = [item for item in ITEMS if item[1].startswith(name)]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(build, "open_dataset", lambda name, **options: Crops(name))


def test_config_alone_mixes_several_sets(cfg, registered, dataset):
    cfg.DATASETS.NAMES = ("large", "middle", "small")
    loader = build_reid_train_loader(cfg, num_workers=0)
    sampler = loader.batch_sampler.sampler
    assert isinstance(sampler, MixedSampler)
    assert take(sampler, 320) == take(build_mixed_sampler(cfg, dataset, SIZES), 320)
    cfg.DATASETS.SHARES = ""
    assert isinstance(build_reid_train_loader(cfg, num_workers=0).batch_sampler.sampler, NaiveIdentitySampler)


def test_set_that_is_named_twice_is_an_error(cfg, dataset):
    with pytest.raises(
        ValueError, match=r"needs sets with identities of their own, but 88 are in several of DATASETS.NAMES"
    ):
        build_mixed_sampler(cfg, CommDataset(ITEMS + ITEMS), [*SIZES, *SIZES])


def test_shares_of_a_ready_made_set_are_an_error(cfg, dataset):
    with pytest.raises(ValueError, match=r"DATASETS.SHARES is 'tempered', but a training set that is given ready-made"):
        build_reid_train_loader(cfg, train_set=dataset)
    sampler = NaiveIdentitySampler(ITEMS, 32, 4, seed=0)
    assert build_reid_train_loader(cfg, train_set=dataset, sampler=sampler).batch_sampler.sampler is sampler
