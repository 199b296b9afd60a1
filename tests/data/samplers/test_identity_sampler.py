from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from fastreid.data.samplers import NaiveIdentitySampler

# identity -> its images; fewer than K, exactly K, and more with and without a rest
COUNTS = {"a": 1, "b": 3, "c": 4, "d": 5, "e": 8, "f": 11, "g": 4, "h": 13}


def items_of(counts, seed=0):
    pids = [pid for pid, count in counts.items() for _ in range(count)]
    np.random.default_rng(seed).shuffle(pids)
    return [(f"{pid}_{number}.jpg", pid, 0) for number, pid in enumerate(pids)]


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def one_pass_by_definition(items, batch_size, k, seed, number):
    """The definition, as loops over the same random draws."""
    rng = np.random.default_rng((seed, number, 2))
    images = {}
    for image, (_, pid, _) in enumerate(items):
        images.setdefault(pid, []).append(image)
    waiting = {}
    for pid in sorted(images, key=lambda pid: len(images[pid])):  # equally many images: by first appearance
        own = np.array(images[pid])
        waiting[pid] = (own[rng.integers(len(own), size=k)] if len(own) < k else rng.permuted(own)).tolist()
    num_groups = sum(len(images) // k for images in waiting.values())
    choices = iter(np.random.default_rng((seed, number, 1)).random(num_groups).tolist())
    alive, stream = list(waiting), []
    while len(alive) >= batch_size // k:
        rest, chosen = list(alive), []
        for _ in range(batch_size // k):
            slot = int(next(choices) * len(rest))
            chosen.append(rest[slot])
            rest[slot] = rest[-1]
            rest.pop()
        for pid in chosen:
            stream += waiting[pid][:k]
            del waiting[pid][:k]
        alive = rest + [pid for pid in reversed(chosen) if len(waiting[pid]) >= k]
    return stream


@pytest.mark.parametrize(("batch_size", "k"), [(4, 4), (8, 4), (16, 4), (32, 4), (6, 2), (5, 1), (8, 8), (32, 16)])
def test_stream_equals_its_definition(batch_size, k):
    items = items_of(COUNTS)
    sampler = NaiveIdentitySampler(items, batch_size, k, seed=9)
    wanted = []
    for number in range(5):
        wanted += one_pass_by_definition(items, batch_size, k, 9, number)
    assert take(sampler, len(wanted)) == wanted


@pytest.mark.parametrize(("batch_size", "k"), [(8, 4), (16, 4), (6, 2), (32, 16)])
def test_batches_hold_different_identities_with_k_images_each(batch_size, k):
    items = items_of(COUNTS)
    stream = take(NaiveIdentitySampler(items, batch_size, k, seed=1), 50 * batch_size)
    for begin in range(0, len(stream), batch_size):
        pids = [items[index][1] for index in stream[begin : begin + batch_size]]
        assert all(pids[i] == pids[i - i % k] for i in range(batch_size))  # K images in a row
        assert set(Counter(pids).values()) == {k}
        for first in range(begin, begin + batch_size, k):
            group = stream[first : first + k]
            if COUNTS[items[group[0]][1]] >= k:
                assert len(set(group)) == k


@pytest.mark.parametrize("number", range(20))
def test_pass_uses_no_image_twice_and_ends_when_no_batch_can_be_filled(number):
    items, batch_size, k = items_of(COUNTS), 16, 4
    sampler = NaiveIdentitySampler(items, batch_size, k, seed=2)
    indices = sampler.pass_indices(number)
    assert len(indices) == sampler.pass_length(number) > 0
    assert len(indices) % batch_size == 0
    used = Counter(items[index][1] for index in indices)
    for pid, count in COUNTS.items():
        mine = [index for index in indices if items[index][1] == pid]
        if count >= k:
            assert len(mine) == len(set(mine)) <= count // k * k
    left = [pid for pid, count in COUNTS.items() if used[pid] < max(count // k, 1) * k]
    assert len(left) < batch_size // k


def test_identities_of_a_batch_are_drawn_uniformly():
    items = items_of(dict.fromkeys("abcdef", 2))
    sampler = NaiveIdentitySampler(items, 4, 2, seed=0)
    pairs = Counter(frozenset(items[index][1] for index in sampler.pass_indices(number)[:4]) for number in range(3000))
    assert len(pairs) == 15
    assert max(abs(count - 200) for count in pairs.values()) < 70  # five standard deviations


@pytest.mark.parametrize("world", [1, 2, 4])
def test_global_batches_do_not_depend_on_the_number_of_ranks(as_rank, world):
    items, batch_size, k = items_of(COUNTS), 16, 4
    alone = take(NaiveIdentitySampler(items, batch_size, k, seed=3), 20 * batch_size)
    mini = batch_size // world
    shares = []
    for rank in range(world):
        as_rank(rank, world)
        shares.append(take(NaiveIdentitySampler(items, mini, k, seed=3), 20 * mini))
    for number in range(20):
        parts = [share[number * mini : (number + 1) * mini] for share in shares]
        together = sorted((index.position, int(index)) for part in parts for index in part)
        begin = number * batch_size
        assert together == [(begin + i, int(alone[begin + i])) for i in range(batch_size)]
        for part in parts:  # whole identities
            assert set(Counter(items[index][1] for index in part).values()) == {k}


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("batches", [1, 2, 3, 7, 20])
def test_start_equals_going_there(as_rank, batches, world):
    items, mini = items_of(COUNTS), 8
    as_rank(world - 1, world)
    whole = take(NaiveIdentitySampler(items, mini, 4, seed=6), 30 * mini)
    resumed = NaiveIdentitySampler(items, mini, 4, seed=6)
    resumed.start = batches * mini * world
    rest = take(resumed, (30 - batches) * mini)
    assert rest == whole[batches * mini :]
    assert [index.position for index in rest] == [index.position for index in whole[batches * mini :]]


def test_start_must_be_a_whole_number_of_batches():
    sampler = NaiveIdentitySampler(items_of(COUNTS), 8, 4, seed=0)
    sampler.start = 4
    with pytest.raises(ValueError, match="must be a multiple of 8"):
        next(iter(sampler))


def test_identities_may_be_numbers_and_order_is_a_function_of_the_seed():
    items = [("x.jpg", number // 3, 0) for number in range(30)]
    first, again, other = (take(NaiveIdentitySampler(items, 4, 2, seed=seed), 40) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("batch", "k", "world", "message"),
    [
        (
            6,
            4,
            1,
            "SOLVER.IMS_PER_BATCH 6 over 1 process(es) is 6 images each, which is no multiple of DATALOADER.NUM_",
        ),
        (6, 4, 1, "NUM_INSTANCE 4; use IMS_PER_BATCH 4 or 8, or another NUM_INSTANCE"),
        (6, 4, 2, "NUM_INSTANCE 4; use IMS_PER_BATCH 8 or 16, or another NUM_INSTANCE"),
        (2, 4, 1, "NUM_INSTANCE 4; use IMS_PER_BATCH 4, or another NUM_INSTANCE"),
        (0, 4, 1, "NUM_INSTANCE 4; use IMS_PER_BATCH 4, or another NUM_INSTANCE"),
        (8, 0, 1, "DATALOADER.NUM_INSTANCE must be >= 1, got 0"),
        (
            36,
            4,
            1,
            "SOLVER.IMS_PER_BATCH 36 over 1 process(es) is 36 images each, and with DATALOADER.NUM_INSTANCE 4 a",
        ),
        (36, 4, 1, "9 different identities, but the training set has 8; lower IMS_PER_BATCH to at most 32, or raise"),
        (12, 4, 3, "9 different identities, but the training set has 8; lower IMS_PER_BATCH to at most 24, or raise"),
        (4, 4, 9, "9 different identities, but the training set has 8; lower the number of processes, or raise"),
    ],
)
def test_what_cannot_be_filled_is_an_error_and_no_hang(as_rank, batch, k, world, message):
    as_rank(0, world)
    with pytest.raises(ValueError, match=re.escape(message)):
        NaiveIdentitySampler(items_of(COUNTS), batch, k)


@pytest.mark.parametrize("number", range(5))
def test_a_set_of_many_identities_is_dealt_by_the_same_rule(number):
    batch_size, k = 8, 2  # 4 identities a batch; from 256 identities on, most batches are drawn at once
    counts = {pid: 2 + pid % 5 for pid in range(400)}
    items = items_of(counts)
    sampler = NaiveIdentitySampler(items, batch_size, k, seed=1)
    indices = sampler.pass_indices(number)
    assert len(indices) == sampler.pass_length(number)
    assert len(set(indices.tolist())) == len(indices)
    used = Counter()
    for batch in indices.reshape(-1, batch_size):
        seen = Counter(items[index][1] for index in batch)
        assert list(seen.values()) == [k] * (batch_size // k)
        used += seen
    left = [pid for pid, count in counts.items() if used[pid] < count // k * k]
    assert len(left) < batch_size // k
