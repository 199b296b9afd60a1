from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from fastreid.data.samplers.draws import draw_rows, number_labels, shuffle_within


def test_labels_are_numbered_by_first_appearance():
    assert number_labels(iter(["x", 3, "x", None, 3])).tolist() == [0, 1, 0, 2, 1]
    assert number_labels([]).tolist() == []


@pytest.mark.parametrize("offset", [0, -5, -(2**63)])
@pytest.mark.parametrize("step", [1, 1000, 2**60])
def test_ints_are_numbered_by_size(offset, step):
    labels = [offset + step * number for number in (4, 0, 2, 4, 7)]
    assert number_labels(iter(labels)).tolist() == [2, 0, 1, 2, 3]


def test_ints_of_any_size_keep_apart():
    assert number_labels([-1, 2**63, 2**63 + 1, -1]).tolist() == [0, 1, 2, 0]
    assert number_labels([2**63, 2**63 + 1, 2**63]).tolist() == [0, 1, 0]
    assert number_labels([10**30, 5, 10**30 + 1, 5]).tolist() == [0, 1, 2, 1]


def test_places_are_sorted_by_segment_and_shuffled_within():
    segments = np.array([2, 0, 2, 5, 0, 2, 0])
    seen = Counter()
    for seed in range(3600):
        places = shuffle_within(segments, np.random.default_rng(seed)).tolist()
        assert [segments[place] for place in places] == [0, 0, 0, 2, 2, 2, 5]
        assert sorted(places) == list(range(7))
        seen[tuple(places)] += 1
    assert len(seen) == 36
    assert max(abs(count - 100) for count in seen.values()) < 50  # five standard deviations
    assert shuffle_within(np.array([], dtype=np.int64), np.random.default_rng(0)).tolist() == []


def test_rows_without_replacement_get_every_set_equally_often():
    sizes = np.full(6000, 5)
    rows = draw_rows(sizes, 3, np.random.default_rng(0), distinct=np.ones(6000, bool))
    seen = Counter(frozenset(row) for row in rows.tolist())
    assert set(seen) == {frozenset(chosen) for chosen in itertools.combinations(range(5), 3)}
    assert max(abs(count - 600) for count in seen.values()) < 117  # five standard deviations


def test_rows_with_replacement_get_every_row_equally_often():
    rows = draw_rows(np.full(9000, 3), 2, np.random.default_rng(0), distinct=np.zeros(9000, bool))
    seen = Counter(map(tuple, rows.tolist()))
    assert len(seen) == 9
    assert max(abs(count - 1000) for count in seen.values()) < 150


@pytest.mark.parametrize("count", [0, 1, 4])
def test_rows_of_different_sizes(count):
    sizes = np.array([1, 4, 9, 4])
    distinct = np.array([False, True, True, False])
    rows = draw_rows(sizes, count, np.random.default_rng(1), distinct=distinct)
    assert rows.shape == (4, count)
    assert (rows >= 0).all()
    assert (rows < sizes[:, None]).all()
    assert [len(set(row)) for row in rows[distinct].tolist()] == [count, count]
