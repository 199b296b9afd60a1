from __future__ import annotations

import pytest

from fastreid.layers import make_divisible, to_2tuple, to_3tuple, to_4tuple, to_ntuple


@pytest.mark.parametrize("divisor", [4, 8, 16])
@pytest.mark.parametrize("v", [1, 3, 7.5, 11, 12, 37, 90, 100, 1023])
def test_the_nearest_multiple_that_loses_at_most_a_tenth(v, divisor):
    candidates = [k * divisor for k in range(1, 2000) if k * divisor >= 0.9 * v]
    nearest = min(candidates, key=lambda multiple: (abs(multiple - v), -multiple))
    assert make_divisible(v, divisor) == nearest
    assert isinstance(make_divisible(v, divisor), int)


def test_a_least_value():
    assert make_divisible(3, 8, 16) == 16
    assert make_divisible(40, 8, 16) == 40


def test_one_value_becomes_many_and_many_stay():
    assert (to_2tuple(5), to_3tuple(range(3)), to_4tuple(0.5)) == ((5, 5), (0, 1, 2), (0.5,) * 4)
    assert to_2tuple([3, 4]) == (3, 4)
    assert to_ntuple(5)(1) == (1,) * 5
    with pytest.raises(ValueError, match=r"needed one value or 2, got 3: \(1, 2, 3\)"):
        to_2tuple([1, 2, 3])
