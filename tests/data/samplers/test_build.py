from __future__ import annotations

import itertools
import logging

import pytest

from fastreid.config import get_cfg
from fastreid.data.common import CommDataset
from fastreid.data.samplers import SAMPLER_REGISTRY, StreamIndex, build_train_sampler
from fastreid.data.samplers.build import per_process_batch_size, stream_seed


@pytest.fixture
def dataset():
    return CommDataset([(f"{number}.jpg", f"set_{number // 5}", "set_0") for number in range(60)])


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.SOLVER.IMS_PER_BATCH = 16
    cfg.SEED = 8
    cfg.DATALOADER.SET_WEIGHT = [1]  # the items have one camid
    return cfg


@pytest.mark.parametrize("name", sorted(SAMPLER_REGISTRY))
@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_sampler_builds_and_gives_the_same_global_batches(cfg, dataset, as_rank, name, world, caplog):
    cfg.DATALOADER.SAMPLER_TRAIN = name
    alone = list(itertools.islice(build_train_sampler(cfg, dataset), 160))
    seen = {}
    with caplog.at_level(logging.INFO):
        for rank in range(world):
            as_rank(rank, world)
            sampler = build_train_sampler(cfg, dataset)
            assert sampler.seed == 8
            for number, index in enumerate(itertools.islice(sampler, 160 // world)):
                assert isinstance(index, StreamIndex)
                assert index.position // 16 == number // (16 // world)  # the same batch on every rank
                seen[index.position] = int(index)
    assert [seen[position] for position in range(160)] == [int(index) for index in alone]
    assert f"Using training sampler {name}" in caplog.text


@pytest.mark.parametrize("name", sorted(SAMPLER_REGISTRY))
@pytest.mark.parametrize("batches", [1, 3, 11])
def test_every_sampler_can_be_resumed_and_follows_its_seed(cfg, dataset, name, batches):
    cfg.DATALOADER.SAMPLER_TRAIN = name
    whole = list(itertools.islice(build_train_sampler(cfg, dataset), 320))
    resumed = build_train_sampler(cfg, dataset)
    resumed.start = 16 * batches
    rest = list(itertools.islice(resumed, 320 - 16 * batches))
    assert rest == whole[16 * batches :]
    assert [index.position for index in rest] == list(range(16 * batches, 320))
    other = build_train_sampler(cfg, dataset)
    other.seed = 9
    assert list(itertools.islice(other, 320)) != whole


def test_unknown_sampler_names_the_nearest(cfg, dataset):
    cfg.DATALOADER.SAMPLER_TRAIN = "NaiveIdentitySample"
    with pytest.raises(KeyError, match="Did you mean 'NaiveIdentitySampler'"):
        build_train_sampler(cfg, dataset)


def test_unseeded_run_draws_a_seed(cfg):
    assert stream_seed(cfg) == 8
    cfg.SEED = -1
    assert stream_seed(cfg) is None
    cfg.SEED = 0
    assert stream_seed(cfg) == 0


@pytest.mark.parametrize(("total", "world", "remedy"), [(10, 4, "use 8 or 12"), (3, 4, "use 4"), (0, 2, "use 2")])
def test_batch_that_cannot_be_shared_is_an_error(as_rank, total, world, remedy):
    as_rank(0, world)
    with pytest.raises(ValueError, match=rf"SOLVER.IMS_PER_BATCH is {total} .* {world} process.* {remedy}"):
        per_process_batch_size(total)


def test_batch_is_shared_equally(as_rank):
    as_rank(1, 4)
    assert per_process_batch_size(64) == 16
