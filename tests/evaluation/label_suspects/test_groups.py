from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.evaluation.label_suspects.groups import Groups, draw_same, draw_strangers, median_cosines

PIDS = np.array([7, 0, 3, 7, -1, 3, 7, 5])


def test_images_are_grouped_by_identity_and_nobody_has_none():
    groups = Groups.of(PIDS, frozenset({0, -1, 99}))
    assert groups.pids.tolist() == [3, 5, 7]
    assert [members.tolist() for members in groups.members] == [[2, 5], [7], [0, 3, 6]]
    assert groups.of_image.tolist() == [2, -1, 0, 2, -1, 0, 2, 1]
    assert groups.images_of(7).tolist() == [0, 3, 6]
    assert [groups.images_of(pid).tolist() for pid in (0, -1, 4, 99, None)] == [[]] * 5


def test_pairs_of_one_identity_are_drawn_evenly_over_images_and_never_with_themselves():
    first, second = draw_same(Groups.of(PIDS, frozenset({0, -1})), seed=0)
    assert (PIDS[first] == PIDS[second]).all() and (first != second).all()
    pairs, counts = np.unique(np.stack([first, second], axis=1), axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 3], [0, 6], [2, 5], [3, 0], [3, 6], [5, 2], [6, 0], [6, 3]]
    expected = np.where(PIDS[pairs[:, 0]] == 7, 0.1, 0.2) * len(first)
    assert (abs(counts - expected) < 0.03 * len(first)).all()


def test_pairs_of_strangers_are_of_two_identities_and_many_by_one_camera():
    rng = np.random.default_rng(0)
    pids, camids = rng.integers(0, 40, 400), rng.integers(0, 20, 400)
    groups = Groups.of(pids, frozenset({0}))
    first, second = draw_strangers(groups, camids, seed=0)
    assert (pids[first] != pids[second]).all() and (pids[first] > 0).all() and (pids[second] > 0).all()
    assert 0.4 < (camids[first] == camids[second]).mean() < 0.6  # by chance it would be one in twenty
    assert [np.array_equal(*of) for of in zip(draw_strangers(groups, camids, seed=0), (first, second))] == [True, True]


def test_medians_are_of_pairs_by_two_cameras_and_by_one():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(50, 6)))
    camids = rng.integers(-1, 2, 50)
    first, second = rng.integers(0, 50, 2000), rng.integers(0, 50, 2000)
    cosines = [float(torch.cosine_similarity(features[a], features[b], dim=0)) for a, b in zip(first, second)]
    one = [camids[a] == camids[b] >= 0 for a, b in zip(first, second)]
    found = median_cosines(features, camids, (first, second))
    for value, wanted in zip(found, (False, True)):
        chosen = sorted(cosine for cosine, by_one in zip(cosines, one) if by_one == wanted)
        assert value == pytest.approx(chosen[(len(chosen) - 1) // 2], abs=1e-6)


def test_too_few_pairs_have_no_median():
    pairs = (np.zeros(150, dtype=np.int64), np.ones(150, dtype=np.int64))
    two, one = median_cosines(torch.eye(2), np.array([0, 1]), pairs)
    assert two == 0 and np.isnan(one)
