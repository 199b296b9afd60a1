from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from fastreid.data.samplers import StreamIndex, StreamSampler
from fastreid.utils import comm


class Counting(StreamSampler):
    """Passes of 5, 6, 7 ... samples, numbered 100 * pass + place."""

    def pass_length(self, number):
        return 5 + number

    def pass_indices(self, number):
        return 100 * number + np.arange(5 + number)


def expected(count):
    return list(itertools.islice((100 * n + i for n in itertools.count() for i in range(5 + n)), count))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_index_survives_pickling(protocol):
    index = pickle.loads(pickle.dumps(StreamIndex(3, seed=2**31, position=70), protocol))
    assert (index, index.seed, index.position, type(index)) == (3, 2**31, 70, StreamIndex)


def test_index_is_an_int_to_a_list():
    assert ["a", "b", "c"][StreamIndex(2, seed=0, position=9)] == "c"
    assert StreamIndex(2, seed=0, position=9) + 1 == 3


@pytest.mark.parametrize("share", [1, 3])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_the_stream_in_rounds(as_rank, world, share):
    rounds = 8
    stream = expected(rounds * world * share)
    seen = {}
    for rank in range(world):
        as_rank(rank, world)
        taken = list(itertools.islice(Counting(share=share, seed=4), rounds * share))
        wanted = [(stream[position], position) for position in range(len(stream)) if position // share % world == rank]
        assert [(int(index), index.position) for index in taken] == wanted
        assert {index.seed for index in taken} == {4}
        seen |= {index.position: int(index) for index in taken}
    assert [seen[position] for position in range(len(stream))] == stream


@pytest.mark.parametrize("start", range(0, 36, 2))
def test_start_continues_where_the_stream_was_left(start):
    sampler = Counting(share=2, seed=0)
    sampler.start = start
    taken = list(itertools.islice(sampler, 20))
    assert [int(index) for index in taken] == expected(start + 20)[start:]
    assert [index.position for index in taken] == list(range(start, start + 20))


def test_start_skips_passes_without_making_them():
    class Lazy(Counting):
        made: list[int] = []

        def pass_indices(self, number):
            self.made.append(number)
            return super().pass_indices(number)

    sampler = Lazy(share=1, seed=0)
    sampler.start = 5 + 6 + 7 + 8 + 3
    assert int(next(iter(sampler))) == 403
    assert Lazy.made == [4]


@pytest.mark.parametrize("begin", range(0, 30, 3))
@pytest.mark.parametrize("count", [1, 5, 6, 40])
def test_stretch_is_a_part_of_the_stream(begin, count):
    assert Counting(share=2, seed=0).stretch(begin, count).tolist() == expected(begin + count)[begin:]


def test_stretch_after_stretch_is_the_stream_and_walks_no_pass_twice():
    class Counted(Counting):
        asked: list[int] = []

        def pass_length(self, number):
            self.asked.append(number)
            return super().pass_length(number)

        def pass_indices(self, number):
            return self.seed * 1000 + super().pass_indices(number)

    sampler = Counted(share=1, seed=0)
    stretches = [sampler.stretch(begin, 7).tolist() for begin in range(0, 350, 7)]
    assert [index for stretch in stretches for index in stretch] == expected(350)
    assert max(map(Counted.asked.count, Counted.asked)) <= 7
    assert sampler.stretch(14, 7).tolist() == expected(21)[14:]  # back
    sampler.seed = 3  # another stream
    assert sampler.stretch(30, 7).tolist() == [3000 + index for index in expected(37)[30:]]


def test_long_passes_are_given_out_in_parts(as_rank, monkeypatch):
    monkeypatch.setattr("fastreid.data.samplers.stream._PART", 4)
    as_rank(1, 2)
    taken = list(itertools.islice(Counting(share=3, seed=0), 60))
    positions = [position for position in range(120) if position // 3 % 2 == 1]
    assert [index.position for index in taken] == positions
    assert [int(index) for index in taken] == [expected(120)[position] for position in positions]


@pytest.mark.parametrize("start", [-4, 2, 5])
def test_start_must_be_a_whole_number_of_rounds(as_rank, start):
    as_rank(0, 2)
    sampler = Counting(share=2, seed=0)
    sampler.start = start
    with pytest.raises(ValueError, match=rf"Counting.start must be a multiple of 4.*2 process.*got {start}; set it"):
        next(iter(sampler))


def test_negative_seed_is_an_error():
    with pytest.raises(ValueError, match="seed of Counting must be >= 0, or None to draw one, got -1"):
        Counting(share=1, seed=-1)


def test_seed_is_drawn_for_all_ranks_where_none_is_given(monkeypatch):
    monkeypatch.setattr(comm, "shared_random_seed", lambda: 77)
    assert Counting(share=1, seed=None).seed == 77
