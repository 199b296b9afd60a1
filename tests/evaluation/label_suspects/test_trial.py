from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.data.synthetic import CAMERAS, Benchmark, paint
from fastreid.evaluation.label_suspects import Suspect, find_label_suspects
from fastreid.evaluation.label_suspects.trial import corrupt_labels, regroup_labels, run_trial

true_pids = np.repeat(np.arange(12), 10)
SPLITS = np.tile(["query", "gallery", "gallery", "train", "gallery"], 24)
NOBODY = frozenset({0})


def test_corrupted_labels_are_others_of_the_same_split():
    splits = np.where(true_pids < 6, SPLITS, "gallery")
    pids, changed = corrupt_labels(true_pids, splits, NOBODY, 40, np.random.default_rng(0))
    assert len(set(changed.tolist())) == 40 and set(np.flatnonzero(pids != true_pids)) == set(changed)
    assert not {0} & set(true_pids[changed]) and not {0} & set(pids[changed])
    for image in changed:
        assert pids[image] in true_pids[splits == splits[image]]
    again, _ = corrupt_labels(true_pids, splits, NOBODY, 40, np.random.default_rng(0))
    assert np.array_equal(pids, again)
    with pytest.raises(ValueError, match="at most 110, the images of identities; got 111"):
        corrupt_labels(true_pids, splits, NOBODY, 111, np.random.default_rng(0))


def test_identities_are_made_of_two_and_divided():
    pids, merged, divided = regroup_labels(true_pids, NOBODY, 3, np.random.default_rng(0))
    touched = {pid for pair in merged for pid in pair} | {pid for pid, _ in divided}
    assert len(touched) == 9 and 0 not in touched
    for first, second in merged:
        assert (pids[(true_pids == first) | (true_pids == second)] == first).all()
    for pid, part in divided:
        assert part > 11 and sorted(np.unique(pids[true_pids == pid], return_counts=True)[1]) == [5, 5]
    assert np.array_equal(pids[~np.isin(true_pids, list(touched))], true_pids[~np.isin(true_pids, list(touched))])
    with pytest.raises(ValueError, match="at most 3, for 11 identities; got 4"):
        regroup_labels(true_pids, NOBODY, 4, np.random.default_rng(0))


def test_what_is_found_is_counted():
    def suspect(kind, images, pids):
        return Suspect(kind, 1.0, tuple(images), pids, None, 0.0, 1.0, 1)

    def find(pids):
        new, merged, divided = regroup_labels(true_pids, NOBODY, 2, np.random.default_rng(5))
        changed = np.flatnonzero(pids != new)
        (first, second), (third, fourth) = merged
        mixed = [*np.flatnonzero(true_pids == third)[:5], *np.flatnonzero(true_pids == fourth)[:2]]
        right = [image for image in range(len(pids)) if image not in changed]
        return [
            suspect("two_people", np.flatnonzero(true_pids == second), (first,)),
            suspect("two_people", mixed, (third,)),  # not one of the two
            suspect("one_person", np.flatnonzero(pids == divided[0][1]), divided[0][::-1]),
            *(suspect("wrong_label", [image], (1,)) for image in changed[:4]),
            *(suspect("wrong_label", [image], (1,)) for image in right[:43]),
            suspect("wrong_label", changed[4:6], (1,)),  # the fifty-first
        ]

    result = run_trial(find, true_pids, SPLITS, NOBODY, spoilt=8, regrouped=2, seed=5)
    in_groups = result.found - 6  # that are images of the groups, too
    assert (result.spoilt, result.listed, result.regrouped) == (8, 51, 2)
    assert 4 <= result.right_of_first <= 5 and 0 <= in_groups <= 2
    assert (result.two_found, result.one_found) == (1, 1)


def described(pixels):
    """Describe an image by histograms of its colours in eight stripes."""
    red, green, blue = np.moveaxis(pixels[:, 12:52].astype(np.float32), 2, 0)
    opponents = np.stack([(red + green + blue) / 3, 128 + (red - green) / 2, 128 + (red + green - 2 * blue) / 4])
    stripes = np.split(opponents, 8, axis=1)
    return np.sqrt([np.histogram(channel, bins=12, range=(0, 256))[0] for stripe in stripes for channel in stripe])


@pytest.mark.slow
def test_wrong_labels_of_synthreid_are_found_without_a_trained_model():
    """The people and cameras of its test; 100 and 200 of 1,440 labels are wrong."""
    benchmark = Benchmark()
    people = benchmark.people()[benchmark.train_identities :]
    shots = benchmark.gallery_images + 1
    labels = [(pid, cam, shot) for pid in range(len(people)) for cam in range(len(CAMERAS)) for shot in range(shots)]
    pictures = (paint(people[pid], CAMERAS[cam], np.random.default_rng([pid, cam, shot])) for pid, cam, shot in labels)
    features = torch.from_numpy(np.stack([described(picture).flatten() for picture in pictures])).float()
    pids, camids, shot = np.array(labels).T.copy()
    splits = np.where(shot == 0, "query", "gallery")
    for spoilt in (100, 200):
        result = run_trial(
            lambda new: find_label_suspects(features, new, camids, splits), pids, splits, frozenset(), spoilt=spoilt
        )
        assert result.right_of_first >= 45
        assert result.found >= 0.85 * spoilt
