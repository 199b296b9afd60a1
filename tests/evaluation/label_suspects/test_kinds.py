from __future__ import annotations

import math

import pytest
import torch

from fastreid.evaluation.knn import knn
from fastreid.evaluation.label_suspects.closeness import measure_closeness
from fastreid.evaluation.label_suspects.fits import find_candidates, measure_fits
from fastreid.evaluation.label_suspects.groups import Groups
from fastreid.evaluation.label_suspects.kinds import _own_is_closer, find_merged, find_split, find_wrong_labels

from .drawn import draw


@pytest.fixture(scope="module")
def measured():
    """A few people who are hard to tell apart, so that every kind has many scores."""
    drawn = draw(identities=16, cameras=3, shots=2, dims=5, spread=0.7)
    pids = drawn.pids.copy()
    pids[pids == 3] = 4
    pids[drawn.pids == 16] = [99, 98, 97, 16, 16, 16]
    groups = Groups.of(pids, frozenset())
    closeness = measure_closeness(drawn.features, drawn.camids, groups)
    near = knn(closeness.features, closeness.features, 40)
    fits = measure_fits(closeness, groups, find_candidates(near, closeness, groups, 5))
    everything = torch.arange(len(pids))
    return pids, groups, closeness, fits, closeness.block(everything, everything).double()


def fit(block, image, others, label):
    """The mean closeness to the closest half of some images, with the label as one more."""
    close = sorted((block[image, other].item() for other in others if other != image), reverse=True)
    close = close[: math.ceil(len(close) / 2)]
    return (sum(close) + label) / (len(close) + 1)


def test_a_wrong_label_scores_by_its_definition(measured):
    pids, groups, _, fits, block = measured
    found = {image: suspect for suspect in find_wrong_labels(fits, groups, -9) for image in suspect.images}
    assert len(found) == len(pids)
    for image, suspect in found.items():
        own = groups.images_of(int(pids[image]))
        candidates = [groups.members[number] for number in fits.candidates[image].tolist() if number >= 0]
        best = max(fit(block, image, members, 0) for members in candidates)
        score = (1 + best - fit(block, image, own, 1)) / 2
        assert (score <= suspect.score + 1e-5) and suspect.pids == (pids[image],)
        if image == suspect.images[0]:
            assert suspect.score == pytest.approx(score, abs=1e-5)


def test_two_people_score_by_their_definition(measured):
    pids, groups, closeness, fits, block = measured
    found = find_split(closeness, fits, groups, -9)
    assert {suspect.pids[0] for suspect in found} <= {pid for pid in pids.tolist() if (pids == pid).sum() >= 4}
    assert max(found, key=lambda suspect: suspect.score).pids == (4,)
    for suspect in found:
        small = list(suspect.images)
        large = [image for image in groups.images_of(suspect.pids[0]).tolist() if image not in small]
        scores = [
            sum((1 + fit(block, image, group, 0) - fit(block, image, rest, 1)) / 2 for image in group) / len(group)
            for group, rest in ((small, large), (large, small))
        ]
        assert suspect.score == pytest.approx(min(scores), abs=1e-5)


def test_one_person_scores_by_its_definition(measured):
    _, groups, closeness, fits, block = measured
    found = find_merged(closeness, fits, groups, -9)
    assert len(found) > 20
    for suspect in found:
        sides = [groups.images_of(pid).tolist() for pid in suspect.pids]
        across = [[fit(block, i, b, 0) for i in a] for a, b in (sides, sides[::-1])]
        closer = [
            [block[i, own].item() > block[i, other].item() for i in a for own in a if own != i for other in b]
            for a, b in (sides, sides[::-1])
        ]
        chances = [sum(of) / len(of) for of in closer if of] or [0.5]
        wanted = min(sum(sum(of) / len(of) for of in across) / 2, 1 - 4 * (sum(chances) / len(chances) - 0.5))
        assert suspect.score == pytest.approx(wanted, abs=1e-5)
    assert any(min(len(groups.images_of(pid)) for pid in suspect.pids) == 1 for suspect in found)


def test_own_images_that_are_all_closer_and_that_are_drawn_alike():
    side = torch.arange(40) < 15
    is_own = side[:, None] == side
    apart = is_own.double() + torch.rand(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert _own_is_closer(apart, is_own).tolist() == [1.0] * 40
    alike = _own_is_closer(apart - is_own.double(), is_own)
    assert alike.mean().item() == pytest.approx(0.5, abs=0.03)
    alone = torch.arange(3) < 1
    assert _own_is_closer(torch.rand(3, 3), alone[:, None] == alone).isnan().tolist() == [True, False, False]


def test_a_large_identity_is_compared_by_a_part_of_its_images(measured, monkeypatch):
    drawn = draw(identities=12, shots=6, spread=0.5)
    pids = drawn.pids.copy()
    pids[pids == 3] = 4  # 72 images
    groups = Groups.of(pids, frozenset())
    closeness = measure_closeness(drawn.features, drawn.camids, groups)
    near = knn(closeness.features, closeness.features, 100)
    fits = measure_fits(closeness, groups, find_candidates(near, closeness, groups, 5))
    monkeypatch.setattr("fastreid.evaluation.label_suspects.kinds._MOST", 20)
    (suspect,) = find_split(closeness, fits, groups, 0.6)
    assert set(drawn.pids[list(suspect.images)].tolist()) in ({3}, {4}) and len(suspect.images) == 36
