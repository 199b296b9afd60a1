from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastreid.data.samplers import TrainingSampler


def take(sampler, count):
    return list(itertools.islice(sampler, count))


def test_every_pass_visits_every_image_once_in_a_new_order():
    passes = np.array(take(TrainingSampler(50, seed=3), 200)).reshape(4, 50)
    for one in passes:
        assert sorted(one) == list(range(50))
    assert len({tuple(one) for one in passes}) == 4


def test_all_orders_are_equally_likely():
    sampler = TrainingSampler(3, seed=0)
    orders = np.array(take(sampler, 3 * 6000)).reshape(-1, 3)
    counts = [np.all(orders == order, axis=1).sum() for order in itertools.permutations(range(3))]
    assert sum(counts) == 6000
    assert max(abs(count - 1000) for count in counts) < 150  # five standard deviations


def test_order_is_a_function_of_the_seed_and_leaves_the_global_stream_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    assert take(TrainingSampler(20, seed=1), 60) == take(TrainingSampler(20, seed=1), 60)
    assert take(TrainingSampler(20, seed=1), 60) != take(TrainingSampler(20, seed=2), 60)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_take_every_nth_sample_of_the_same_stream(as_rank, world):
    stream = take(TrainingSampler(10, seed=5), 40)
    for rank in range(world):
        as_rank(rank, world)
        mine = take(TrainingSampler(10, seed=5), 40 // world)
        assert mine == stream[rank::world]
        assert [index.position for index in mine] == list(range(40))[rank::world]


@pytest.mark.parametrize("start", [0, 6, 10, 34])
def test_start_equals_going_there(start):
    whole = take(TrainingSampler(10, seed=5), 60)
    resumed = TrainingSampler(10, seed=5)
    resumed.start = start
    assert take(resumed, 60 - start) == whole[start:]


def test_without_shuffling_the_order_is_that_of_the_data_set():
    assert take(TrainingSampler(3, shuffle=False, seed=0), 7) == [0, 1, 2, 0, 1, 2, 0]


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(ValueError, match="TrainingSampler needs at least one image to draw from, got size 0"):
        TrainingSampler(0)
