from __future__ import annotations

import logging

import numpy as np
import pytest

from fastreid.evaluation.rates import (
    average_precision,
    cmc,
    inverse_negative_penalty,
    rates_by_query,
    summarize,
    warn_unmatched,
)


def random_ranks(rng, queries):
    return [np.sort(rng.choice(30, rng.integers(0, 6), replace=False)) + 1 for _ in range(queries)]


def test_rates_of_one_query_are_their_definitions():
    rng = np.random.default_rng(0)
    for ranks in random_ranks(rng, 50):
        if len(ranks) == 0:
            continue
        relevant = [place in ranks for place in range(1, 31)]
        precision_at_hits = [sum(relevant[:k]) / k for k in range(1, 31) if relevant[k - 1]]
        assert average_precision(ranks) == pytest.approx(sum(precision_at_hits) / len(ranks), rel=1e-12)
        assert inverse_negative_penalty(ranks) == pytest.approx(len(ranks) / max(ranks), rel=1e-12)


def test_cmc_is_its_definition_at_any_length():
    ranks = random_ranks(np.random.default_rng(1), 40)
    valid = [r for r in ranks if len(r)]
    assert len(valid) < 40
    for length in (1, 5, 100):
        expected = [sum(any(place <= k for place in r) for r in valid) / len(valid) for k in range(1, length + 1)]
        np.testing.assert_allclose(cmc(ranks, length), expected, rtol=1e-12)


def test_no_match_at_all_gives_zeros():
    assert cmc([np.array([], dtype=np.int64)] * 3, 4).tolist() == [0, 0, 0, 0]
    assert cmc([], 2).tolist() == [0, 0]
    assert set(summarize([]).values()) == {0.0}


def test_summary_has_the_names_order_and_unit_of_the_results_table():
    results = summarize([np.array([1, 4]), np.array([6]), np.array([], dtype=np.int64)])
    assert list(results) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    assert all(type(value) is float for value in results.values())
    mean_ap = ((1 + 2 / 4) / 2 + 1 / 6) / 2
    expected = [50, 50, 100, 100 * mean_ap, 100 * (2 / 4 + 1 / 6) / 2, 100 * (mean_ap + 0.5) / 2]
    assert list(results.values()) == pytest.approx(expected)


def test_summary_of_other_ranks():
    results = summarize([np.array([3])], topk=(2, 20))
    assert list(results)[:2] == ["Rank-2", "Rank-20"]
    assert (results["Rank-2"], results["Rank-20"], results["metric"]) == (0, 100, pytest.approx(100 / 6))


def test_bad_arguments():
    with pytest.raises(ValueError, match="max_rank must be at least 1, got 0"):
        cmc([np.array([1])], 0)
    with pytest.raises(ValueError, match=r"topk must hold ranks of at least 1, got \(0, 5\)"):
        summarize([np.array([1])], topk=(0, 5))
    for rate in (average_precision, inverse_negative_penalty):
        with pytest.raises(ValueError, match="ranks is empty"):
            rate(np.array([], dtype=np.int64))


def test_unmatched_queries_are_counted_and_logged(caplog):
    none = np.array([], dtype=np.int64)
    with caplog.at_level(logging.WARNING):
        assert warn_unmatched([np.array([1])]) == 0
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert warn_unmatched([np.array([1]), none, none]) == 2
        assert warn_unmatched([none]) == 1
        assert warn_unmatched([]) == 0
    assert "2 of 3 queries" in caplog.text
    assert "None of 1 queries has a true match in the gallery: the rates are undefined" in caplog.text
    assert "None of 0 queries" in caplog.text


@pytest.mark.parametrize("kind", ["some", "none", "empty"])
def test_numbers_of_each_query_have_the_means_that_are_reported(kind):
    r = np.random.default_rng(0)
    ranks = [np.sort(r.choice(40, size=r.integers(5), replace=False)) + 1 for _ in range(30)]
    ranks = {"some": ranks, "none": [np.empty(0, dtype=np.int64)] * 3, "empty": []}[kind]
    numbers = rates_by_query(ranks, topk=(1, 3))
    results = summarize(ranks, topk=(1, 3))
    assert list(numbers) == list(results)
    for name, values in numbers.items():
        assert values.shape == (len(ranks),)
        assert np.isnan(values).tolist() == [len(own) == 0 for own in ranks]
        if kind == "some":
            assert 100 * np.nanmean(values) == pytest.approx(results[name])
    for query, own in enumerate(ranks):
        if len(own):
            assert numbers["mAP"][query] == pytest.approx(average_precision(own))
            assert numbers["mINP"][query] == inverse_negative_penalty(own)
            assert numbers["Rank-3"][query] == (own[0] <= 3)
