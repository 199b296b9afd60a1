from __future__ import annotations

import numpy as np
import pytest

from fastreid.data.transforms.rectangle import check_rectangle, draw_rectangle
from fastreid.utils.env import random_stream


def drawn(position, size=(200, 100), **options):
    with random_stream(0, position):
        return draw_rectangle(*size, **{"area": (0.02, 0.4), "ratio": 0.3, **options})


def test_rectangles_fill_the_range_of_areas_and_ratios_and_lie_inside():
    found = np.array([drawn(position) for position in range(2000)])
    top, left, height, width = found.T
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 200).all() and (left + width <= 100).all()
    area, ratio = height * width / 20000, height / width
    assert 0.019 < area.min() < 0.03 and 0.37 < area.max() < 0.41
    assert 0.27 < ratio.min() < 0.4 and 3 < ratio.max() < 3.6
    for first, size in ((top, 200 - height), (left, 100 - width)):
        assert (first == 0).any() and (first == size).any()  # up to both edges


def test_large_areas_are_as_frequent_as_small_ones():
    areas = [height * width / 40000 for *_, height, width in (drawn(p, (200, 200), ratio=1.0) for p in range(2000))]
    assert np.histogram(areas, bins=4, range=(0.02, 0.4))[0] == pytest.approx([500] * 4, abs=80)


def test_ratio_of_one_gives_squares():
    assert all(height == width for *_, height, width in (drawn(p, ratio=1.0) for p in range(20)))


def test_image_that_is_too_small_has_none():
    assert drawn(0, size=(1, 1)) is None
    assert drawn(0, size=(200, 100), area=(0.9, 0.95), ratio=1.0) is None  # a square that is wider than the image


@pytest.mark.parametrize(
    ("area", "ratio", "message"),
    [
        ((0.0, 0.4), 0.3, r"INPUT.X.AREA must be two numbers with 0 < least <= largest < 1, got \(0.0, 0.4\)"),
        ((0.5, 0.4), 0.3, "INPUT.X.AREA"),
        ((0.1,), 0.3, "INPUT.X.AREA"),
        (("a", "b"), 0.3, "INPUT.X.AREA must be two numbers"),
        ((0.1, 1.0), 0.3, "INPUT.X.AREA"),
        ((0.1, 0.4), 0.0, r"INPUT.X.RATIO must be in \(0, 1\], got 0.0"),
        ((0.1, 0.4), 3.0, "INPUT.X.RATIO"),
    ],
)
def test_impossible_rectangles_are_an_error(area, ratio, message):
    with pytest.raises(ValueError, match=message):
        check_rectangle(area, ratio, key="INPUT.X")
