from __future__ import annotations

import numpy as np
import pytest

from fastreid.data.samplers.shares import deal_places, most_places, set_shares, share_edges


@pytest.mark.parametrize(("mode", "power", "weights"), [
    ("equal", 0.5, [1, 1, 1]), ("proportional", 0.5, [100, 400, 2500]), ("tempered", 0.5, [10, 20, 50]),
    ("tempered", 0.0, [1, 1, 1]), ("tempered", 1.0, [100, 400, 2500]),
])  # fmt: skip
def test_shares(mode, power, weights):
    shares = set_shares(mode, [100, 400, 2500], power)
    np.testing.assert_allclose(shares, np.array(weights) / sum(weights), rtol=1e-12)


def test_unknown_shares_are_an_error():
    with pytest.raises(ValueError, match=r"DATASETS.SHARES must be empty .* equal, proportional, tempered; got 'even'"):
        set_shares("even", [1, 2], 0.5)


@pytest.mark.parametrize("power", [-0.1, 1.5, float("nan")])
def test_power_out_of_range_is_an_error(power):
    with pytest.raises(ValueError, match=r"DATASETS.SHARES_POWER must be from 0"):
        set_shares("tempered", [1, 2], power)


@pytest.mark.parametrize("places", [1, 4, 16, 64])
@pytest.mark.parametrize("sizes", [[1, 1], [1, 1, 1], [3, 1000], [5, 70, 11, 999, 2], [7]])
def test_batches_get_the_share_rounded_and_the_run_gets_it_exactly(sizes, places):
    shares = np.array(sizes) / sum(sizes)
    edges = share_edges(shares, places)
    counts = deal_places(edges, np.arange(5000))
    assert (counts.sum(axis=1) == places).all()
    exact = shares * places
    assert (counts >= np.floor(exact + 1e-6)).all()
    assert (counts <= np.ceil(exact - 1e-6)).all()
    assert (counts.max(axis=0) <= most_places(edges)).all()
    assert most_places(edges) == np.ceil(exact - 1e-6).astype(int).tolist()
    so_far = np.arange(1, 5001)[:, None] * exact
    assert np.abs(counts.cumsum(axis=0) - so_far).max() < 4  # places, however long the run


def test_batches_can_be_asked_for_in_any_order():
    edges = share_edges(np.array([0.3, 0.7]), 8)
    whole = deal_places(edges, np.arange(100))
    np.testing.assert_array_equal(deal_places(edges, np.arange(40, 100)), whole[40:])
