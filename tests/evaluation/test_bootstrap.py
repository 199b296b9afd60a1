from __future__ import annotations

import numpy as np
import pytest

from fastreid.evaluation import bootstrap
from fastreid.evaluation.bootstrap import IdentityBootstrap
from fastreid.evaluation.roc import operating_point


def draws(pids, resamples, seed=0):
    """The queries of each resample, as index arrays."""
    names = np.unique(pids)
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        chosen = generator.integers(names.size, size=names.size)
        yield np.concatenate([np.flatnonzero(pids == names[place]) for place in chosen])


def queries(seed=0, count=90, identities=12):
    r = np.random.default_rng(seed)
    return r, r.integers(identities, size=count) * 7


@pytest.mark.parametrize("values_at_a_time", [1, 40, 1 << 21])
def test_intervals_of_means_are_those_of_resampled_identities(values_at_a_time, monkeypatch):
    monkeypatch.setattr(bootstrap, "_VALUES", values_at_a_time)
    r, pids = queries()
    values = r.random((90, 3))
    values[4:9, :] = np.nan
    found = IdentityBootstrap(pids, resamples=50).means(values)
    means = [np.nanmean(values[drawn], axis=0) for drawn in draws(pids, 50)]
    np.testing.assert_allclose(found, np.quantile(means, (0.025, 0.975), axis=0).T)


@pytest.mark.parametrize("kind", ["random", "ties"])
def test_intervals_of_operating_points_are_those_of_resampled_identities(kind):
    r, pids = queries()
    owner = [r.integers(90, size=size) for size in (200, 100)]
    scores = [r.normal(shift, 1, own.size) for shift, own in zip((1.5, 0), owner, strict=True)]
    if kind == "ties":
        scores = [np.round(of, 1) for of in scores]
    order = np.argsort(-scores[1], kind="stable")
    scores[1], owner[1] = scores[1][order], owner[1][order]
    totals = np.bincount(owner[1], minlength=90)
    for rate in (0.02, 0.1, 0.3):
        found = IdentityBootstrap(pids, resamples=60).operating_point(
            scores[0], owner[0], scores[1], owner[1], totals, rate
        )
        rates, refused = [], []
        for drawn in draws(pids, 60):
            times = np.bincount(drawn, minlength=90)
            positives, negatives = (np.repeat(of, times[own]) for of, own in zip(scores, owner, strict=True))
            rates.append(operating_point(positives, negatives, negatives.size, rate)[0])
            refused.append(negatives[int(rate * negatives.size + 1e-9)])
        np.testing.assert_allclose(found[0], np.quantile(rates, (0.025, 0.975)), atol=1e-12)
        own = scores[1][int(rate * 100 + 1e-9)]
        np.testing.assert_allclose(found[1], np.quantile(np.array(refused) - own, (0.025, 0.975)), atol=1e-12)


def test_draws_without_a_negative_do_not_count():
    pids = np.array([0, 1, 2, 3])
    positive, negative = np.array([0.1, 0.3, 0.9]), np.array([0.5])
    only = np.array([0, 0, 0, 1])  # the last identity has the only negative; a third of the draws are without it
    found = IdentityBootstrap(pids, resamples=200).operating_point(
        positive, np.array([0, 1, 2]), negative, np.array([3]), only, 0.1
    )
    assert found[1].tolist() == [0, 0]
    assert 0 <= found[0][0] <= 1 / 3 <= found[0][1] <= 1


def test_few_thresholds_are_enough(monkeypatch):
    r, pids = queries(count=300, identities=40)
    owner = [r.integers(300, size=size) for size in (3000, 200_000)]
    scores = [r.normal(2, 1, 3000), np.sort(r.normal(0, 1, 200_000))[::-1]]
    arguments = (scores[0], owner[0], scores[1], owner[1], np.bincount(owner[1], minlength=300), 1e-2)
    coarse = IdentityBootstrap(pids, resamples=200).operating_point(*arguments)
    monkeypatch.setattr(bootstrap, "_GRID", 20_000)
    fine = IdentityBootstrap(pids, resamples=200).operating_point(*arguments)
    np.testing.assert_allclose(coarse, fine, atol=0.01)
    width = np.diff(fine, axis=1)
    assert (width > 0.002).all()


def test_a_mean_is_covered_as_often_as_promised():
    r = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        people = r.normal(0, 1, 40)
        pids = np.repeat(np.arange(40), 3)
        low, high = IdentityBootstrap(pids, resamples=200).means((people[pids] + r.normal(0, 0.3, 120))[:, None])[0]
        covered += low <= 0 <= high
    assert 0.88 <= covered / 300 <= 0.99  # images taken for independent would give about 0.75


def test_what_is_not_defined():
    none = IdentityBootstrap(np.empty(0, dtype=np.int64))
    assert np.isnan(none.means(np.empty((0, 2)))).all()
    some = IdentityBootstrap(np.array([1, 1, 2]), resamples=5)
    assert np.isnan(some.means(np.full((3, 1), np.nan))).all()
    empty, number = np.empty(0), np.empty(0, dtype=np.int64)
    assert np.isnan(some.operating_point(empty, number, empty, number, np.zeros(3, dtype=np.int64), 0.1)).all()


@pytest.mark.parametrize(("options", "message"), [({"resamples": 0}, "got 0"), ({"confidence": 1.0}, r"got 1\.0")])
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        IdentityBootstrap(np.array([1]), **options)
