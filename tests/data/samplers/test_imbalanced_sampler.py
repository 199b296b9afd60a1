from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from fastreid.data.samplers import ImbalancedDatasetSampler

ITEMS = [("", pid, 0) for pid in "babbabbbc"]


def take(sampler, count):
    return [int(index) for index in itertools.islice(sampler, count)]


def test_images_come_by_one_over_the_size_of_their_class():
    drawn = Counter(take(ImbalancedDatasetSampler(ITEMS, seed=0), 9000))
    sizes = Counter(item[1] for item in ITEMS)
    weights = [1 / sizes[item[1]] for item in ITEMS]
    for index, weight in enumerate(weights):
        expected = 9000 * weight / sum(weights)
        assert abs(drawn[index] - expected) < 5 * np.sqrt(expected)


def test_seed_decides_and_nothing_else(as_rank):
    whole = take(ImbalancedDatasetSampler(ITEMS, seed=4), 60)
    np.random.seed(1)
    assert (
        take(ImbalancedDatasetSampler(ITEMS, seed=4), 60) == whole != take(ImbalancedDatasetSampler(ITEMS, seed=5), 60)
    )
    for rank in range(3):
        as_rank(rank, 3)
        assert take(ImbalancedDatasetSampler(ITEMS, seed=4), 20) == whole[rank::3]


def test_size_is_that_of_a_pass():
    assert ImbalancedDatasetSampler(ITEMS, seed=0).pass_length(0) == 9
    sampler = ImbalancedDatasetSampler(ITEMS, 4, 0)
    assert len(sampler.pass_indices(7)) == sampler.pass_length(7) == 4


def test_labels_may_come_from_a_function():
    data = {"labels": [0, 0, 0, 1]}

    class Labelled(list):
        labels = data["labels"]

    sampler = ImbalancedDatasetSampler(Labelled(range(4)), None, 0, lambda source, index: source.labels[index])
    assert abs(take(sampler, 4000).count(3) - 2000) < 160  # five standard deviations


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="needs at least one image to draw from, got an empty data_source"):
        ImbalancedDatasetSampler([])
    with pytest.raises(ValueError, match="size must be >= 1, or None for one sample per image, got 0"):
        ImbalancedDatasetSampler(ITEMS, size=0)
