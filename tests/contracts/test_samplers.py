"""What samplers promise: whole identities, the same global batches on any number of ranks, errors instead of hangs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch

from fastreid.data.build import build_reid_train_loader
from fastreid.data.samplers import InferenceSampler, NaiveIdentitySampler, TrainingSampler

from .helpers import REPO, deadline, environment, tiny_cfg, write_market

ITEMS = [(f"{pid}_{k}.jpg", f"set_{pid}", f"set_{k % 2}") for pid in range(8) for k in range(6)]
UNEVEN = [(f"{pid}_{k}.jpg", f"set_{pid}", "set_0") for pid in range(9) for k in range(1 + pid)]
PIDS = {"even": [item[1] for item in ITEMS], "uneven": [item[1] for item in UNEVEN]}

# Prints {sampler: {world: [rank 0's indices, ...]}}: real processes, that talk over gloo.
ACROSS_RANKS = """
import json, multiprocessing, sys
from itertools import islice
import torch.distributed as dist
from fastreid.data.samplers import InferenceSampler, NaiveIdentitySampler, TrainingSampler

items, folder, sizes = json.loads(sys.argv[1]), sys.argv[2], (1, 5, 8, 9)

def draw(world):
    local = 16 // world
    samplers = {
        "training": TrainingSampler(50, True, seed=7),
        "in order": TrainingSampler(50, False, seed=7),
        "identity": NaiveIdentitySampler(items, local, 2, seed=7),
        "training, no seed": TrainingSampler(50, True),
        "identity, no seed": NaiveIdentitySampler(items, local, 2),
    }
    drawn = {name: [int(i) for i in islice(sampler, 12 * local)] for name, sampler in samplers.items()}
    return drawn | {f"inference {n}": [int(i) for i in InferenceSampler(n)] for n in sizes}

def work(rank, world, queue):
    dist.init_process_group("gloo", init_method=f"file://{folder}/{world}", rank=rank, world_size=world)
    queue.put((rank, draw(world)))
    dist.destroy_process_group()

context = multiprocessing.get_context("fork")
answers = {1: [draw(1)]}
for world in (2, 4):
    queue = context.SimpleQueue()
    processes = [context.Process(target=work, args=(rank, world, queue)) for rank in range(world)]
    for process in processes:
        process.start()
    answers[world] = [drawn for _, drawn in sorted((queue.get() for _ in processes), key=lambda pair: pair[0])]
    for process in processes:
        process.join()
print(json.dumps({name: {world: [d[name] for d in answers[world]] for world in answers} for name in answers[1][0]}))
"""


@pytest.fixture(scope="module")
def across_ranks(tmp_path_factory):
    """What each rank of worlds of 1, 2 and 4 processes draws."""
    folder = tmp_path_factory.mktemp("stores")
    command = [sys.executable, "-c", ACROSS_RANKS, json.dumps(UNEVEN), str(folder)]
    done = subprocess.run(command, cwd=REPO, env=environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def global_batches(per_rank, total):
    """Return the sorted indices of each step's batch over all ranks."""
    local = total // len(per_rank)
    steps = range(len(per_rank[0]) // local)
    return [sorted(i for rank in per_rank for i in rank[step * local : (step + 1) * local]) for step in steps]


@pytest.mark.parametrize("sampler", ["training", "in order", "identity"])
@pytest.mark.parametrize("world", ["2", "4"])
def test_global_batches_do_not_depend_on_the_number_of_ranks(across_ranks, sampler, world):
    alone = global_batches(across_ranks[sampler]["1"], 16)
    assert len(alone) == 12
    assert global_batches(across_ranks[sampler][world], 16) == alone


@pytest.mark.parametrize("sampler", ["identity", "identity, no seed"])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_rank_gets_whole_identities(across_ranks, sampler, world):
    for drawn in across_ranks[sampler][str(world)]:
        for start in range(0, len(drawn), 16 // world):
            counts = Counter(PIDS["uneven"][i] for i in drawn[start : start + 16 // world])
            assert len(counts) == 8 // world
            assert set(counts.values()) == {2}


@pytest.mark.parametrize("world", [1, 2, 4])
def test_an_identity_is_only_once_in_a_global_batch(across_ranks, world):
    for sampler in ("identity", "identity, no seed"):
        for batch in global_batches(across_ranks[sampler][str(world)], 16):
            assert len({PIDS["uneven"][i] for i in batch}) == 8


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_agree_on_a_seed_where_none_is_given(across_ranks, world):
    per_rank = across_ranks["training, no seed"][str(world)]
    stream = [i for together in zip(*per_rank) for i in together]
    assert sorted(stream[:50]) == list(range(50))
    assert sorted(stream[50:100]) == list(range(50))


@pytest.mark.parametrize("size", [1, 5, 8, 9])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_inference_sampler_deals_contiguous_shards(across_ranks, size, world):
    per_rank = across_ranks[f"inference {size}"][str(world)]
    shard = -(-size // world)
    assert [len(indices) for indices in per_rank] == [max(0, min(size - r * shard, shard)) for r in range(world)]
    assert [i for indices in per_rank for i in indices] == list(range(size))


@pytest.mark.parametrize("size", [1, 9])
def test_inference_sampler_knows_its_length(size):
    assert len(InferenceSampler(size)) == size


def test_training_sampler_is_an_endless_row_of_permutations():
    stream = [int(i) for i in islice(TrainingSampler(10, seed=0), 40)]
    passes = [stream[k : k + 10] for k in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4
    assert [int(i) for i in islice(TrainingSampler(4, shuffle=False), 9)] == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("instances", [1, 2, 4])
def test_batches_are_identities_times_instances(instances):
    stream = [int(i) for i in islice(NaiveIdentitySampler(ITEMS, 8, instances, seed=1), 8 * 30)]
    for start in range(0, len(stream), 8):
        batch = stream[start : start + 8]
        counts = Counter(PIDS["even"][i] for i in batch)
        assert len(counts) == 8 // instances
        assert set(counts.values()) == {instances}
        assert len(set(batch)) == 8  # six images each: none needs to come twice


def test_images_come_twice_only_where_an_identity_has_too_few():
    stream = [int(i) for i in islice(NaiveIdentitySampler(UNEVEN, 16, 4, seed=1), 16 * 40)]
    for start in range(0, len(stream), 4):
        group = stream[start : start + 4]
        assert len({PIDS["uneven"][i] for i in group}) == 1
        if PIDS["uneven"].count(PIDS["uneven"][group[0]]) >= 4:
            assert len(set(group)) == 4


def test_every_image_is_drawn_sooner_or_later():
    drawn = {int(i) for i in islice(NaiveIdentitySampler(UNEVEN, 8, 2, seed=1), 8 * 200)}
    assert drawn == set(range(len(UNEVEN)))


def test_batches_are_possible_with_every_identity_in_each():
    stream = islice(NaiveIdentitySampler(ITEMS, 16, 2, seed=1), 16 * 5)  # 8 of 8 identities
    assert {PIDS["even"][int(i)] for i in stream} == set(PIDS["even"])


@pytest.mark.parametrize("make", [
    lambda seed: TrainingSampler(30, True, seed),
    lambda seed: NaiveIdentitySampler(ITEMS, 8, 2, seed),
], ids=["training", "identity"])  # fmt: skip
def test_a_seed_fixes_the_stream_and_another_changes_it(make):
    first, again, other = ([int(i) for i in islice(make(seed), 64)] for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize("make", [
    lambda: TrainingSampler(30, seed=1),
    lambda: NaiveIdentitySampler(ITEMS, 8, 2, seed=1),
], ids=["training", "identity"])  # fmt: skip
def test_samplers_neither_read_nor_move_the_global_random_streams(make):
    streams = []
    for seed in (0, 1):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        expected = (random.random(), np.random.rand(), torch.rand(1).item())
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        streams.append([int(i) for i in islice(make(), 40)])
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert streams[0] == streams[1]


def test_two_streams_at_a_time_do_not_disturb_each_other():
    alone = [int(i) for i in islice(NaiveIdentitySampler(ITEMS, 8, 2, seed=1), 40)]
    pairs = islice(zip(NaiveIdentitySampler(ITEMS, 8, 2, seed=1), TrainingSampler(9, seed=4)), 40)
    assert [int(i) for i, _ in pairs] == alone


@pytest.mark.parametrize(("batch", "instances", "numbers"), [
    (9, 2, ("9", "2")),  # not a multiple
    (2, 4, ("2", "4")),  # not even one identity
    (32, 2, ("16", "8")),  # 16 identities wanted, 8 there
], ids=["remainder", "too small", "too few identities"])  # fmt: skip
def test_batches_that_cannot_be_filled_are_an_error_with_the_numbers(batch, instances, numbers):
    with deadline(10), pytest.raises(ValueError) as error:
        next(iter(NaiveIdentitySampler(ITEMS, batch, instances, seed=0)))
    assert all(number in str(error.value) for number in numbers), error.value


@pytest.mark.parametrize("make", [
    lambda: TrainingSampler(0),
    lambda: NaiveIdentitySampler([], 8, 2),
    lambda: NaiveIdentitySampler(ITEMS, 8, 0),
    lambda: NaiveIdentitySampler(ITEMS, 0, 2),
], ids=["no images", "no items", "no instances", "no batch"])  # fmt: skip
def test_nothing_to_draw_is_an_error(make):
    with deadline(10), pytest.raises(ValueError):
        next(iter(make()))


@pytest.mark.parametrize(("changes", "words"), [
    ({"DATALOADER__NUM_INSTANCE": 3}, ("NUM_INSTANCE", "IMS_PER_BATCH")),
    ({"SOLVER__IMS_PER_BATCH": 32}, ("16", "8")),
    ({"DATALOADER__SAMPLER_TRAIN": "NaiveIdentitySampling"}, ("NaiveIdentitySampler",)),
], ids=["remainder", "too few identities", "unknown sampler"])  # fmt: skip
@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_loader_that_cannot_work_is_an_error(market_root, changes, words, workers):
    with deadline(30), pytest.raises((ValueError, KeyError)) as error:
        next(iter(build_reid_train_loader(tiny_cfg(DATALOADER__NUM_WORKERS=workers, **changes))))
    assert all(word in str(error.value) for word in words), error.value


def test_fewer_images_than_a_batch_are_an_error_that_says_so(tmp_path, monkeypatch):
    from fastreid.engine import DefaultTrainer

    monkeypatch.setenv("FASTREID_DATASETS", str(write_market(tmp_path, train_ids=2, images_per_camera=1)))
    changes = {"DATALOADER__SAMPLER_TRAIN": "TrainingSampler", "OUTPUT_DIR": tmp_path / "out"}
    with deadline(30), pytest.raises(ValueError, match="IMS_PER_BATCH"):
        DefaultTrainer(tiny_cfg(**changes))
