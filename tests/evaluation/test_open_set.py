from __future__ import annotations

import numpy as np
import pytest

from fastreid.evaluation.open_set import choose_absent, identification_curve, probes


def test_a_seeded_share_of_the_identities_is_absent():
    pids = np.repeat(np.arange(50, 70), 3)
    every = np.ones(60, dtype=bool)
    chosen = choose_absent(pids, every, 0.25)
    assert len(chosen) == 5 and set(chosen) < set(pids) and (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, choose_absent(pids[::-1], every, 0.25))
    assert not np.array_equal(chosen, choose_absent(pids, every, 0.25, seed=1))
    assert len(choose_absent(pids, every, 1e-3)) == 1
    assert len(choose_absent(pids, every, 0.999)) == 19


@pytest.mark.parametrize("case", ["share 0", "absent already", "one identity", "no query"])
def test_nothing_is_taken_out(case):
    pids = np.array([] if case == "no query" else [1, 1] if case == "one identity" else [1, 2], dtype=np.int64)
    has_match = np.array([case != "absent already", True][: len(pids)], dtype=bool)
    assert choose_absent(pids, has_match, 0.0 if case == "share 0" else 0.5).size == 0


def test_a_share_of_all_is_an_error():
    with pytest.raises(ValueError, match=r"TEST.OPEN_SET.SHARE must be in \[0, 1\), got 1"):
        choose_absent(np.array([1]), np.array([True]), 1)


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_is_its_definition(ties):
    r = np.random.default_rng(0)
    match, other = (r.integers(5, size=60).astype(float) if ties else r.random(60) for _ in range(2))
    is_absent = r.random(60) < 0.4
    mated, non_mated = probes(match, other, match > other, is_absent)
    curve = identification_curve(mated, non_mated)
    assert (curve.genuine, curve.impostors) == ((~is_absent).sum(), is_absent.sum())
    for threshold, false, true in zip(curve.thresholds, curve.false_positives, curve.true_positives, strict=True):
        alarms = sum(other[q] >= threshold for q in range(60) if is_absent[q])
        found = sum(match[q] > other[q] and match[q] >= threshold for q in range(60) if not is_absent[q])
        assert (alarms, found) == (false, true)
    assert curve.true_positives[-1] == sum((match > other)[~is_absent])  # a wrong one is never right
