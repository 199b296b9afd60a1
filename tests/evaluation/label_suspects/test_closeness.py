from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.evaluation.label_suspects.closeness import measure_closeness
from fastreid.evaluation.label_suspects.groups import Groups
from fastreid.evaluation.postprocess import normalize_cameras

from .drawn import draw


def pairs_of(drawn, groups, block):
    """Return closeness by (one person, one camera), of all pairs of different images."""
    same = torch.from_numpy(drawn.pids[:, None] == drawn.pids)
    one_camera = torch.from_numpy(drawn.camids[:, None] == drawn.camids)
    other = ~torch.eye(len(same), dtype=torch.bool)
    return {(a, b): block[(same == a) & (one_camera == b) & other] for a in (True, False) for b in (True, False)}


def test_strangers_are_at_0_and_one_person_at_1_whether_by_one_camera_or_by_two():
    drawn = draw(identities=30, shift=2.0)
    groups = Groups.of(drawn.pids, frozenset())
    everything = torch.arange(len(drawn.pids))
    closeness = measure_closeness(drawn.features, drawn.camids, groups)
    block = closeness.block(everything, everything)
    for (same, _), values in pairs_of(drawn, groups, block).items():
        assert values.median().item() == pytest.approx(float(same), abs=0.03)


def test_cosines_are_those_of_features_without_what_a_camera_has_in_common():
    drawn = draw(identities=30, shift=2.0)
    closeness = measure_closeness(drawn.features, drawn.camids, Groups.of(drawn.pids, frozenset()))
    expected = torch.nn.functional.normalize(normalize_cameras(drawn.features, torch.from_numpy(drawn.camids)))
    assert torch.allclose(closeness.features, expected, atol=1e-6)


def test_a_camera_that_sees_few_people_is_not_normalised_by_their_mean():
    drawn = draw(identities=30, cameras=2)
    camids = drawn.camids.copy()
    camids[drawn.pids <= 9] = 7  # a camera of their own
    camids[0] = -1
    closeness = measure_closeness(drawn.features, camids, Groups.of(drawn.pids, frozenset()))
    everyone = normalize_cameras(drawn.features, torch.zeros(len(camids), dtype=torch.int64))
    expected = torch.nn.functional.normalize(everyone)
    few = torch.from_numpy((camids == 7) | (camids == -1))
    assert torch.allclose(closeness.features[few], expected[few], atol=1e-6)
    assert not torch.allclose(closeness.features[~few], expected[~few], atol=1e-2)


def test_unknown_cameras_are_never_one():
    drawn = draw(identities=12, cameras=1)
    camids = np.full(len(drawn.pids), -1)
    closeness = measure_closeness(drawn.features, camids, Groups.of(drawn.pids, frozenset()))
    everything = torch.arange(len(camids))
    assert not closeness.by_one_camera(everything[:, None], everything).any()
    same = pairs_of(drawn, None, closeness.block(everything, everything))[True, True]
    assert same.median().item() == pytest.approx(1, abs=0.03)


def test_a_person_seen_once_by_each_camera_has_the_step_of_two_cameras_for_one():
    drawn = draw(identities=40, shots=1)  # no pair of one person by one camera
    closeness = measure_closeness(drawn.features, drawn.camids, Groups.of(drawn.pids, frozenset()))
    steps = [same - strangers for strangers, same in zip(closeness.strangers, closeness.same)]
    assert steps[1] == pytest.approx(steps[0])


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        (np.arange(60), "there are 60 identities, of which none or only one"),
        (np.zeros(60, dtype=np.int64), "there are 1 identities"),
        (np.full(60, -1), "there are 0 identities"),
    ],
)
def test_nothing_to_compare_is_an_error(pids, message):
    features = torch.randn(60, 4)
    with pytest.raises(ValueError, match=message):
        measure_closeness(features, np.zeros(60, dtype=np.int64), Groups.of(pids, frozenset({-1})))


def test_features_that_tell_nobody_apart_are_an_error():
    with pytest.raises(ValueError, match="cannot tell who is who: take those of a trained model"):
        groups = Groups.of(np.arange(60) // 3, frozenset())
        measure_closeness(torch.ones(60, 4), np.arange(60) % 3, groups)
