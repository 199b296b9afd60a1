from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fastreid.data.samplers import BalancedIdentitySampler

# identity -> camera of each image: one image, one camera with few and many, few and many others, everything different
CAMERAS = {
    "single": "a", "pair": "aa", "one camera": "bbbbbb", "one other": "aaaaab", "few others": "aabb",
    "many others": "aabbbbcc", "all different": "abcdef", "three": "abb",
}  # fmt: skip
ITEMS = [(f"{pid}_{n}.jpg", pid, cam) for n in range(8) for pid, cams in CAMERAS.items() for cam in cams[n : n + 1]]


def candidates_by_definition(anchor):
    """Return the images that may go with an anchor."""
    same = [n for n, item in enumerate(ITEMS) if item[1] == ITEMS[anchor][1]]
    others = [n for n in same if ITEMS[n][2] != ITEMS[anchor][2]]
    return others or [n for n in same if n != anchor] or [anchor]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
def test_groups_follow_the_rule(k):
    sampler = BalancedIdentitySampler(ITEMS, 4 * k, k, seed=1)
    seen = {}
    for number in range(300):
        groups = sampler.pass_indices(number).reshape(-1, k)
        assert len({ITEMS[group[0]][1] for group in groups}) == len(groups) == 8
        for anchor, *others in groups.tolist():
            candidates = candidates_by_definition(anchor)
            assert set(others) <= set(candidates)
            if len(candidates) >= k:
                assert len(set(others)) == k - 1
            seen.setdefault(anchor, set()).update(others)
    assert set(seen) == set(range(len(ITEMS)))  # every image is an anchor
    if k > 1:  # and goes with all that it may go with
        assert all(others == set(candidates_by_definition(anchor)) for anchor, others in seen.items())


def test_fewer_candidates_than_k_are_drawn_with_replacement():
    sampler = BalancedIdentitySampler(ITEMS, 16, 4, seed=1)
    repeats = Counter()
    for number in range(200):
        for anchor, *others in sampler.pass_indices(number).reshape(-1, 4).tolist():
            repeats[ITEMS[anchor][1]] += len(set(others)) < 3
    assert repeats["few others"] > 100  # two candidates, three places
    assert repeats["single"] == 200
    assert repeats["all different"] == repeats["one camera"] == 0


def test_anchors_are_drawn_uniformly():
    sampler = BalancedIdentitySampler([("", "a", n % 2) for n in range(5)], 2, 2, seed=3)
    anchors = Counter(int(sampler.pass_indices(number)[0]) for number in range(5000))
    assert max(abs(anchors[n] - 1000) for n in range(5)) < 142  # five standard deviations


def test_pass_takes_every_identity_once_and_leaves_out_what_fills_no_batch():
    sampler = BalancedIdentitySampler(ITEMS, 12, 4, seed=0)
    left_out = Counter()
    for number in range(800):
        pids = [ITEMS[index][1] for index in sampler.pass_indices(number)]
        assert len(pids) == sampler.pass_length(number) == 24  # 6 of 8 identities
        assert set(Counter(pids).values()) == {4}
        left_out.update(set(CAMERAS) - set(pids))
    assert max(abs(count - 200) for count in left_out.values()) < 62  # five standard deviations


@pytest.mark.parametrize("k", [2, 4])
def test_a_batch_sees_each_identity_from_two_cameras_where_it_has_them(k):
    items = [("", f"set_{n // 6}", f"set_{n % 3}") for n in range(48)]
    for group in BalancedIdentitySampler(items, 4 * k, k, seed=0).pass_indices(0).reshape(-1, k):
        cameras = [items[index][2] for index in group]
        assert cameras[0] not in cameras[1:]


@pytest.mark.parametrize(("batch", "k", "words"), [
    (6, 4, "no multiple of DATALOADER.NUM_INSTANCE 4"),
    (36, 4, "needs 9 different identities, but the training set has 8"),
])  # fmt: skip
def test_what_cannot_be_filled_is_an_error_and_no_hang(batch, k, words):
    with pytest.raises(ValueError, match=words):
        BalancedIdentitySampler(ITEMS, batch, k)


def test_identities_may_be_numbers_of_any_type():
    items = [("", np.int64(n % 3), np.int64(n % 2)) for n in range(12)]
    assert sorted(items[i][1] for i in BalancedIdentitySampler(items, 6, 2, seed=0).pass_indices(0)) == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
