from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from fastreid.data.samplers import SetReWeightSampler

# identity i has i + 1 images in set "x", some are also in "y" and "z"
ITEMS = (
    [("", f"p{pid}", "x") for pid in range(8) for _ in range(pid + 1)]
    + [("", f"p{pid}", "y") for pid in range(4, 12) for _ in range(3)]
    + [("", f"q{pid}", "z") for pid in range(5) for _ in range(6)]
)


def take(sampler, count):
    return [int(index) for index in itertools.islice(sampler, count)]


@pytest.mark.parametrize(("batch", "k", "weights"), [
    (8, 2, [1, 2, 1]), (16, 2, [1, 2, 1]), (12, 4, [1, 1, 1]), (6, 1, [3, 3, 0]), (9, 3, [0, 0, 3]), (16, 2, [3, 3, 2]),
])  # fmt: skip
def test_batches_hold_the_given_number_of_identities_of_each_set(batch, k, weights):
    stream = take(SetReWeightSampler(ITEMS, batch, k, weights, seed=0), 60 * batch)
    members = Counter((pid, cam) for _, pid, cam in ITEMS)
    rounds = batch // (k * sum(weights))
    for begin in range(0, len(stream), batch):
        groups = [stream[first : first + k] for first in range(begin, begin + batch, k)]
        labels = [{ITEMS[index][1:] for index in group} for group in groups]
        assert all(len(label) == 1 for label in labels)  # K images of one identity in one set
        labels = [label.pop() for label in labels]
        assert len({pid for pid, _ in labels}) == len(groups)  # P different identities
        wanted = {cam: weight * rounds for cam, weight in zip("xyz", weights) if weight}
        assert Counter(cam for _, cam in labels) == wanted
        for group, label in zip(groups, labels):
            if members[label] >= k:
                assert len(set(group)) == k


def test_identities_come_by_their_images_and_not_twice():
    """Compare with drawing one after the other by weight, identities drawn before left out, over all ways to do so."""
    items = [("", pid, "set") for pid, count in {"a": 1, "b": 2, "c": 5}.items() for _ in range(count)]
    weights, expected = {"a": 1, "b": 2, "c": 5}, Counter()
    for first, second in itertools.permutations(weights, 2):
        chance = weights[first] / 8 * weights[second] / (8 - weights[first])
        expected[frozenset((first, second))] += 8000 * chance
    stream = take(SetReWeightSampler(items, 2, 1, [2], seed=1), 16000)
    pairs = Counter(frozenset(items[n][1] for n in stream[begin : begin + 2]) for begin in range(0, 16000, 2))
    assert set(pairs) == set(expected)
    assert all(abs(pairs[pair] - expected[pair]) < 5 * expected[pair] ** 0.5 for pair in expected)


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_share_the_batches_of_one(as_rank, world):
    whole = take(SetReWeightSampler(ITEMS, 16, 2, [1, 2, 1], seed=3), 320)
    shares = []
    for rank in range(world):
        as_rank(rank, world)
        shares.append(take(SetReWeightSampler(ITEMS, 16 // world, 2, [1, 2, 1], seed=3), 320 // world))
    mine = 16 // world
    together = [i for step in range(20) for share in shares for i in share[step * mine : (step + 1) * mine]]
    assert together == whole
    for share in shares:
        assert Counter(ITEMS[index][2] for index in share[:8]) == {"x": 2, "y": 4, "z": 2}


@pytest.mark.parametrize(("batch", "k", "weights", "message"), [
    (8, 2, [], "DATALOADER.SET_WEIGHT [] has 0 weights, but the training set has 3 sets (camids): x, y, z; give each"),
    (8, 2, [1, 1, 1, 1], "SET_WEIGHT [1, 1, 1, 1] has 4 weights, but the training set has 3 sets"),
    (8, 2, [2, -1, 1], "DATALOADER.SET_WEIGHT must be numbers of identities, ints >= 0 and not all 0, got [2, -1, 1]"),
    (8, 2, [0, 0, 0], "not all 0, got [0, 0, 0]"),
    (8, 2, [0.5, 0.5, 1], "ints >= 0"),
    (8, 2, [1, 1, 1], "SOLVER.IMS_PER_BATCH 8 over 1 process(es) is 8 images each, which is no multiple of the sum of "
     "DATALOADER.SET_WEIGHT [1, 1, 1] times NUM_INSTANCE 2, 6; use IMS_PER_BATCH 6 or 12, or other weights"),
    (8, 3, [1, 2, 1], "no multiple of DATALOADER.NUM_INSTANCE 3"),
    (16, 2, [1, 1, 6], "wants 6 different identities of set z in a batch, but it has 5; lower its weight or"),
    (20, 2, [4, 6, 0], "wants 6 different identities of set y in a batch, but it has 8, of which other sets may"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_an_error_and_no_hang(batch, k, weights, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SetReWeightSampler(ITEMS, batch, k, weights)


def test_one_image_against_many_takes_no_longer():
    items = [("", "many", "set")] * 20000 + [("", "one", "set"), ("", "two", "set")]
    stream = take(SetReWeightSampler(items, 3, 1, [3], seed=0), 3000)
    assert all({items[n][1] for n in stream[i : i + 3]} == {"many", "one", "two"} for i in range(0, 3000, 3))
