from __future__ import annotations

import pytest

from fastreid.data.samplers import InferenceSampler


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 12, 13])
def test_stretches_in_rank_order_are_the_whole(as_rank, size, world):
    stretch = (size + world - 1) // world
    whole = []
    for rank in range(world):
        as_rank(rank, world)
        sampler = InferenceSampler(size)
        mine = list(sampler)
        assert mine == [index for index in range(size) if index // stretch == rank]
        assert len(sampler) == len(mine)
        assert list(sampler) == mine  # again
        whole += mine
    assert whole == list(range(size))


def test_empty_set_is_an_error():
    with pytest.raises(ValueError, match="InferenceSampler needs at least one image to go through, got size 0"):
        InferenceSampler(0)
