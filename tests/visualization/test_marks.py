from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fastreid.evaluation.rank_lists import JUNK, MATCH, OTHER
from fastreid.visualization.marks import MARKS, QUERY, badge, draw_frame

ALL = (QUERY, *MARKS.values())


def framed(mark, size=(106, 202), width=5):
    picture = Image.new("RGB", size, "white")
    draw_frame(ImageDraw.Draw(picture), (0, 0, *size), mark, width=width)
    return np.asarray(picture)


def test_every_kind_has_a_mark_of_its_own():
    assert set(MARKS) == {MATCH, OTHER, JUNK}
    assert len({mark.colour for mark in ALL}) == len({mark.name for mark in ALL}) == 4
    assert len({mark.line for mark in MARKS.values()}) == len({mark.sign for mark in MARKS.values()}) == 3


def test_marks_are_told_apart_without_colour():
    grey = {mark: framed(mark).mean(axis=2) < 250 for mark in MARKS.values()}
    for one, two in itertools.combinations(MARKS.values(), 2):
        assert (grey[one] != grey[two]).sum() > 300  # pixels of 2980
        shapes = [np.asarray(badge(mark, 14).convert("L"), dtype=int) > 190 for mark in (one, two)]
        assert (shapes[0] != shapes[1]).sum() > 10


@pytest.mark.parametrize("mark", ALL, ids=lambda mark: mark.name)
@pytest.mark.parametrize("size", [(106, 202), (191, 112), (60, 50)])
def test_a_frame_is_inside_its_box_and_has_its_corners(mark, size):
    drawn = (framed(mark, size) != 255).any(axis=2)
    assert not drawn[5:-5, 5:-5].any()
    for y, x in itertools.product((0, -1), (0, -1)):
        assert drawn[y, x]
    assert drawn[:5].all() == drawn[:, :5].all() == (mark.line == "solid")
    np.testing.assert_array_equal(drawn[0], drawn[-1])
    assert {tuple(colour) for colour in framed(mark, size)[drawn]} == {
        tuple(int(mark.colour[i : i + 2], 16) for i in (1, 3, 5))
    }
