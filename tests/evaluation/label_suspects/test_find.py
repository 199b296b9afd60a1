from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.evaluation.label_suspects import Suspect, find_label_suspects
from fastreid.evaluation.label_suspects.find import each_once
from fastreid.evaluation.label_suspects.trial import corrupt_labels
from fastreid.utils.memory import ResidentPeak

from .drawn import draw, rank_1


def find(drawn, pids=None, **options):
    pids = drawn.pids if pids is None else pids
    return find_label_suspects(drawn.features, pids, drawn.camids, drawn.splits, **options)


@pytest.fixture(scope="module")
def people():
    """Features as of a good model: Rank-1 is about 90 %."""
    drawn = draw(identities=40, spread=0.8, shift=0.5, dims=28)
    assert 0.87 < rank_1(drawn) < 0.95
    return drawn


def test_right_labels_are_no_suspects(people):
    assert find(people) == []


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_fifty_suspects_are_corrupted_labels(people, seed):
    pids, changed = corrupt_labels(people.pids, people.splits, frozenset(), 100, np.random.default_rng(seed))
    suspects = find(people, pids)
    assert all(set(suspect.images) <= set(changed.tolist()) for suspect in suspects[:50])
    right = [suspect for suspect in suspects if set(people.pids[list(suspect.images)].tolist()) == {suspect.suggested}]
    assert len(right) >= 90 and len(suspects) <= 105
    assert all(suspect.kind == "wrong_label" for suspect in right)
    scores = [suspect.score for suspect in suspects]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0.6


def test_a_stray_image_says_where_it_belongs_and_why(people):
    pids = people.pids.copy()
    stray = int(np.flatnonzero(pids == 5)[3])
    pids[stray] = 9
    (suspect,) = find(people, pids, matches=3)
    assert (suspect.kind, suspect.images, suspect.pids, suspect.suggested) == ("wrong_label", (stray,), (9,), 5)
    assert suspect.count == 25
    assert suspect.fit_other > 0.7 > 0.4 > suspect.fit_own
    for matches, pid in ((suspect.own, 9), (suspect.other, 5)):
        assert len(matches) == 3
        assert [pids[match.image] for match in matches] == [pid] * 3
        assert [match.closeness for match in matches] == sorted((m.closeness for m in matches), reverse=True)
        for match in matches:
            cosine = torch.cosine_similarity(people.features[stray], people.features[match.image], dim=0)
            assert match.cosine == pytest.approx(cosine.item(), abs=1e-5)


def test_many_strays_with_the_same_two_identities_are_one_suspect(people):
    pids = people.pids.copy()
    strays = np.flatnonzero(pids == 5)[:4]
    pids[strays] = 9
    (suspect,) = find(people, pids)
    assert set(suspect.images) == set(strays.tolist()) and suspect.suggested == 5
    assert suspect.kind in ("wrong_label", "two_people")


def test_an_identity_of_two_people_falls_into_them(people):
    pids = people.pids.copy()
    pids[pids == 5] = 9
    (suspect,) = find(people, pids)
    assert (suspect.kind, suspect.pids, suspect.suggested, suspect.count) == ("two_people", (9,), None, 48)
    assert set(people.pids[list(suspect.images)]) in ({5}, {9}) and len(suspect.images) == 24
    assert {pids[match.image] for match in (*suspect.own, *suspect.other)} == {9}
    side = people.pids[suspect.images[0]]
    assert all(people.pids[match.image] != side for match in suspect.own)
    assert all(people.pids[match.image] == side for match in suspect.other)


def test_half_of_an_identity_under_another_name_is_told_where_it_belongs(people):
    pids = people.pids.copy()
    moved = np.flatnonzero(pids == 5)[::2]
    pids[moved] = 9
    (suspect,) = find(people, pids)
    assert (suspect.kind, suspect.pids, suspect.suggested) == ("two_people", (9,), 5)
    assert set(suspect.images) == set(moved.tolist())


def test_strays_do_not_hide_that_an_identity_is_two_people(people):
    pids = people.pids.copy()
    pids[pids == 5] = 9
    strays = [int(np.flatnonzero(people.pids == pid)[0]) for pid in (1, 2, 3)]
    pids[strays] = 9
    suspects = find(people, pids)
    (two,) = [suspect for suspect in suspects if suspect.kind == "two_people"]
    assert set(people.pids[list(two.images)]) in ({5}, {9})
    assert {image for suspect in suspects if suspect is not two for image in suspect.images} == set(strays)


@pytest.mark.parametrize("how", ["at random", "by camera"])
def test_two_identities_of_one_person_are_found(people, how):
    pids = people.pids.copy()
    own = np.flatnonzero(pids == 5)
    part = own[::2] if how == "at random" else own[people.camids[own] < 2]
    pids[part] = 77
    (suspect,) = find(people, pids)
    assert suspect.kind == "one_person" and set(suspect.pids) == {5, 77} and suspect.count == 24
    assert set(pids[list(suspect.images)]) == {suspect.pids[0]}  # the smaller of the two
    assert suspect.suggested == suspect.pids[1]


def test_two_people_who_look_alike_are_two(people):
    """As close as a third of the way: their images mix, but are closer within than across."""
    features, pids = people.features.clone(), people.pids
    middle = {pid: features[pids == pid].mean(dim=0) for pid in (5, 9)}
    features[pids == 5] += 0.5 * (middle[9] - middle[5])
    found = find_label_suspects(features, pids, people.camids, people.splits)
    assert [suspect for suspect in found if suspect.kind != "wrong_label"] == []


def test_the_same_background_makes_no_suspects(people):
    """A camera moves its images by more than people differ; the cameras are known, so that is no evidence."""
    moved = draw(identities=40, spread=0.8, shift=2.0, dims=28)
    assert rank_1(moved) < 0.1
    assert find(moved) == []
    pids, changed = corrupt_labels(moved.pids, moved.splits, frozenset(), 100, np.random.default_rng(0))
    assert sum(suspect.images[0] in changed for suspect in find(moved, pids)[:50]) >= 49
    blind = find_label_suspects(moved.features, pids, np.full(len(pids), -1), moved.splits)
    assert sum(suspect.images[0] in changed for suspect in blind[:50]) < 40  # without the cameras it is some


def test_nobody_is_no_identity(people):
    pids = people.pids.copy()
    pids[np.flatnonzero(pids == 5)[:8]] = 0
    pids[pids == 7] = 0
    assert find(people, pids, nobody={0}) == []
    assert [set(suspect.pids) for suspect in find(people, pids)] != []  # as an identity it would be one of two people


def test_a_distractor_is_a_suspect_if_it_is_the_same_picture(people):
    pids, features = people.pids.copy(), people.features.clone()
    nobody, image = np.flatnonzero(pids == 7)[1], np.flatnonzero(pids == 5)[0]
    pids[pids == 7] = 0
    features[nobody] = 1.7 * features[image]
    camids = people.camids.copy()
    camids[nobody] = camids[image]
    (suspect,) = find_label_suspects(features, pids, camids, people.splits, nobody={0})
    assert (suspect.kind, suspect.images, suspect.suggested) == ("near_duplicate", (nobody, image), 5)


def suspect(kind, score, images, pids, suggested=None):
    return Suspect(kind, score, images, pids, suggested, 0.0, 1.0, 10)


def test_an_image_and_a_pair_of_identities_count_once():
    strong = suspect("wrong_label", 1.0, (1,), (3,), 5)
    once = [
        strong,
        suspect("one_person", 0.9, (1, 2), (3, 4), 4),  # takes no images
        suspect("wrong_label", 0.7, (9,), (5,), 3),  # another image of the same pair
        suspect("two_people", 0.65, (1, 20, 21), (3,)),  # less than half are known
    ]
    twice = [
        suspect("near_duplicate", 0.9, (1, 8), (3, 6)),
        suspect("one_person", 0.8, (1, 2), (5, 3), 3),
        suspect("two_people", 0.6, (20, 22), (3,)),
    ]
    assert each_once([*twice, *reversed(once)]) == once


def test_neighbours_are_searched_in_blocks(monkeypatch):
    """7,200 images: all pairs would be 198 MiB."""
    drawn = draw(identities=300, dims=16, spread=0.5)
    find(draw(identities=20))  # what the libraries take once
    with ResidentPeak() as peak:
        find(drawn, memory_gb=0.05)
    assert peak.mib < 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours must be at least 1, got 0"),
        ({"duplicate": 1.5}, r"duplicate must be in \[0, 1\], got 1.5"),
        ({"matches": -1}, "matches must be at least 0, got -1"),
        ({"pids": np.zeros(3, dtype=np.int64)}, r"pids must have the shape \(96,\), as the features, got \(3,\)"),
    ],
)
def test_wrong_arguments_are_told(options, message):
    drawn = draw(identities=4)
    with pytest.raises(ValueError, match=message):
        find(drawn, **options)


def test_features_that_are_no_numbers_are_told():
    drawn = draw(identities=4)
    drawn.features[5, 2] = torch.nan
    with pytest.raises(ValueError, match="1 of 96 images have features that are NaN"):
        find(drawn)
    with pytest.raises(ValueError, match=r"features must be \(images, dimensions\)"):
        find_label_suspects(torch.zeros(3), *[np.zeros(3)] * 3)


def test_features_are_not_changed_and_half_precision_works(people):
    pids, _ = corrupt_labels(people.pids, people.splits, frozenset(), 20, np.random.default_rng(0))
    half = people.features.half()
    before = half.clone()
    found = find_label_suspects(half, pids, people.camids, people.splits)
    assert torch.equal(half, before)
    assert {s.images for s in found} == {s.images for s in find(people, pids)}
