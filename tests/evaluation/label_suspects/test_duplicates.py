from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.evaluation.label_suspects import find_label_suspects

from .drawn import draw


@pytest.fixture
def people():
    return draw(identities=20, spread=0.6, shift=0.5, dims=28)


def copy(drawn, source, target, noise=0.0):
    """Make an image nearly the same picture as another, by the same camera."""
    wobble = noise * torch.randn(drawn.features.shape[1], generator=torch.Generator().manual_seed(0))
    drawn.features[target] = drawn.features[source] + wobble
    drawn.camids[target] = drawn.camids[source]


def duplicates(drawn, **options):
    found = find_label_suspects(drawn.features, drawn.pids, drawn.camids, drawn.splits, **options)
    return [suspect for suspect in found if suspect.kind == "near_duplicate"]


def of(drawn, pid, split):
    return np.flatnonzero((drawn.pids == pid) & (drawn.splits == split))


def test_the_same_picture_under_two_identities_is_the_surest(people):
    query, gallery = int(of(people, 3, "query")[0]), int(of(people, 8, "gallery")[0])
    copy(people, query, gallery)
    (suspect,) = duplicates(people)
    assert suspect.images == (gallery, query)  # the one that does not fit its identity is first
    assert (suspect.pids, suspect.suggested, suspect.count) == ((8, 3), 3, 1)
    assert suspect.score == pytest.approx(1.5, abs=1e-4) and suspect.fit_other == pytest.approx(1)
    assert [match.image for match in suspect.other] == [query]
    assert {people.pids[match.image] for match in suspect.own} == {8}


def test_the_score_falls_with_the_distance_to_1_at_the_bound(people):
    query, gallery = int(of(people, 3, "query")[0]), int(of(people, 8, "gallery")[0])
    copy(people, query, gallery, noise=0.01)
    (suspect,) = duplicates(people)
    unit = torch.nn.functional.normalize(people.features.double())
    same = torch.from_numpy(people.pids[:, None] == people.pids) & ~torch.eye(len(unit), dtype=torch.bool)
    same &= torch.from_numpy(people.camids[:, None] == people.camids)
    bound = 0.1 * (1 - (unit @ unit.T)[same].median().item())
    distance = 1 - (unit[query] @ unit[gallery]).item()
    assert suspect.score == pytest.approx(1.5 - 0.5 * distance / bound, abs=0.01)
    assert duplicates(people, duplicate=0.9 * 0.1 * distance / bound) == []


def test_one_label_in_two_splits_counts_unless_one_camera_took_both(people):
    query, gallery = int(of(people, 3, "query")[0]), int(of(people, 3, "gallery")[0])
    copy(people, query, gallery)
    assert duplicates(people) == []  # no protocol that knows cameras compares them
    people.camids[:] = -1
    (suspect,) = duplicates(people)
    assert set(suspect.images) == {query, gallery} and suspect.pids == (3,) and suspect.suggested is None
    assert suspect.score == pytest.approx(0.75, abs=1e-4)
    people.splits[:] = "gallery"
    assert duplicates(people) == []


def test_many_pairs_of_two_identities_are_one_suspect(people):
    sources, targets = of(people, 3, "query")[:3], of(people, 8, "gallery")[:3]
    for noise, source, target in zip((0.01, 0.0, 0.02), sources.tolist(), targets.tolist()):
        copy(people, source, target, noise)
    (suspect,) = duplicates(people)
    assert suspect.count == 3 and set(suspect.images) == {*sources.tolist(), *targets.tolist()}
    assert set(suspect.images[:2]) == {sources[1], targets[1]}  # the closest pair


def test_who_is_right_is_left_open_where_both_fit(people):
    """Two people so much alike that a picture of one is a picture of the other."""
    source, target = people.pids == 3, people.pids == 8
    people.features[target] = people.features[source]
    found = find_label_suspects(people.features, people.pids, people.camids, people.splits)
    (suspect,) = found  # not also one person under two identities
    assert (suspect.kind, suspect.suggested, set(suspect.pids)) == ("near_duplicate", None, {3, 8})
    assert suspect.count == 24


def test_pairs_of_nobody_are_left_out(people):
    first, second = int(of(people, 3, "query")[0]), int(of(people, 8, "gallery")[0])
    copy(people, first, second)
    people.pids[[first, second]] = (0, -1)
    assert duplicates(people, nobody={0, -1}) == []
