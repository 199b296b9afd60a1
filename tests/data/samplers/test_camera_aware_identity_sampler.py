from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fastreid.data.samplers import CameraAwareIdentitySampler


def items_of(seed):
    """Twelve identities of 1 to 13 images in 1 to 4 cameras."""
    rng = np.random.default_rng(seed)
    items = []
    for pid in range(12):
        cameras = rng.integers(0, rng.integers(1, 5), size=rng.integers(1, 14))
        items += [("", f"set_{pid}", f"set_{camera}") for camera in cameras]
    return [items[n] for n in rng.permutation(len(items))]


def turns_by_definition(cameras, k):
    """Return the images that each camera gives in full turns, the cameras that may be in the last one, and its size."""
    left, given = Counter(cameras), Counter()
    while rest := min(k, len(cameras)) - sum(given.values()):
        if rest < len(left):  # any of them, in the last turn
            return given, set(left), rest
        given.update(left.keys())
        left -= Counter(left.keys())
    return given, set(), 0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 16])
def test_cameras_take_turns(seed, k):
    items = items_of(seed)
    images = {pid: [n for n, item in enumerate(items) if item[1] == pid] for pid in {item[1] for item in items}}
    groups = CameraAwareIdentitySampler(items, 4 * k, k, seed=seed).pass_indices(seed).reshape(-1, k)
    assert len({items[group[0]][1] for group in groups}) == len(groups) == 12
    for group in groups.tolist():
        mine = images[items[group[0]][1]]
        times = Counter(group)
        assert set(times) <= set(mine)
        assert len(times) == min(k, len(mine))  # none twice before all are used
        assert max(times.values()) - min(times.values()) <= 1
        given, last_turn, rest = turns_by_definition([items[n][2] for n in mine], k)
        more = Counter(items[n][2] for n in times) - given
        assert Counter(items[n][2] for n in times) == given + more
        assert set(more) <= last_turn
        assert set(more.values()) <= {1}
        assert len(more) == rest


def test_images_and_cameras_are_drawn_uniformly():
    items = [("", "p", camera) for camera in "aaabbbbc"]
    sampler = CameraAwareIdentitySampler(items, 2, 2, seed=0)
    groups = [frozenset(sampler.pass_indices(number).tolist()) for number in range(6000)]
    cameras = Counter("".join(sorted(items[n][2] for n in group)) for group in groups)
    assert set(cameras) == {"ab", "ac", "bc"}
    assert max(abs(count - 2000) for count in cameras.values()) < 183  # five standard deviations
    images = Counter(n for group in groups for n in group)
    for camera, share in (("a", 4000 / 3), ("b", 1000), ("c", 4000)):
        assert all(abs(images[n] - share) < 185 for n, item in enumerate(items) if item[2] == camera)


def test_sets_of_images_of_one_camera_are_drawn_uniformly():
    sampler = CameraAwareIdentitySampler([("", "p", "a")] * 5, 3, 3, seed=0)
    sets = Counter(frozenset(sampler.pass_indices(number).tolist()) for number in range(5000))
    assert len(sets) == 10
    assert max(abs(count - 500) for count in sets.values()) < 107


def test_what_is_repeated_changes_from_pass_to_pass():
    sampler = CameraAwareIdentitySampler([("", "p", n) for n in range(3)], 4, 4, seed=0)
    repeated = {Counter(sampler.pass_indices(number).tolist()).most_common(1)[0] for number in range(60)}
    assert repeated == {(0, 2), (1, 2), (2, 2)}


def test_too_few_identities_are_an_error():
    with pytest.raises(
        ValueError, match="needs 4 different identities, but the training set has 2; lower IMS_PER_BATCH"
    ):
        CameraAwareIdentitySampler([("", n % 2, 0) for n in range(8)], 8, 2)
