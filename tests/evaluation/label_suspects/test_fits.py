from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastreid.evaluation.knn import knn
from fastreid.evaluation.label_suspects.closeness import measure_closeness
from fastreid.evaluation.label_suspects.fits import closest_half, find_candidates, measure_fits, with_label
from fastreid.evaluation.label_suspects.groups import Groups

from .drawn import draw


def test_the_closest_half_is_rounded_up_and_leaves_an_image_itself_out():
    values = torch.rand(40, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    itself = torch.zeros(40, 7, dtype=torch.bool)
    itself[:20, 3] = True
    means, counts = closest_half(values, itself)
    for row in range(40):
        others = sorted((values[row, c].item() for c in range(7) if not itself[row, c]), reverse=True)
        half = math.ceil(len(others) / 2)
        assert counts[row] == half
        assert means[row].item() == pytest.approx(sum(others[:half]) / half)


def test_an_image_alone_has_no_fit_and_keeps_its_label():
    fit, count = closest_half(torch.tensor([[0.9]]), torch.tensor([[True]]))
    assert fit.isnan().all() and count.tolist() == [0]
    assert with_label(fit, count, 1.0).tolist() == [1.0]


@pytest.fixture(scope="module")
def measured():
    drawn = draw(identities=15, cameras=3, shots=3, dims=6)
    pids = drawn.pids.copy()
    pids[:30:4] = -1
    pids[-1] = 99  # an identity with one image
    groups = Groups.of(pids, frozenset({-1}))
    closeness = measure_closeness(drawn.features, drawn.camids, groups)
    near = knn(closeness.features, closeness.features, 31)
    candidates = find_candidates(near, closeness, groups, 3)
    return pids, groups, closeness, near, candidates


def test_candidates_are_the_identities_of_the_nearest_images_of_others(measured):
    pids, groups, closeness, near, candidates = measured
    everything = torch.arange(len(pids))
    block = closeness.block(everything, everything)
    for image in range(len(pids)):
        places = sorted(near.places[image].tolist(), key=lambda place: -block[image, place].item())
        wanted = dict.fromkeys(pids[place] for place in places if pids[place] not in (-1, pids[image]))
        found = [int(groups.pids[number]) for number in candidates[image].tolist() if number >= 0]
        assert found == [int(pid) for pid in list(wanted)[:3]]


def test_fits_equal_their_definition(measured):
    pids, groups, closeness, _, candidates = measured
    fits = measure_fits(closeness, groups, candidates)
    everything = torch.arange(len(pids))
    block = closeness.block(everything, everything).double().numpy()

    def fit(image, pid):
        others = sorted((block[image, other] for other in np.flatnonzero(pids == pid) if other != image), reverse=True)
        half = math.ceil(len(others) / 2)
        return (sum(others[:half]) / half if half else float("nan")), half

    for image, pid in enumerate(pids):
        value, count = fit(image, pid) if pid != -1 else (float("nan"), 0)
        assert fits.own[image].item() == pytest.approx(value, abs=1e-5, nan_ok=True)
        assert fits.own_count[image] == count
        for slot, number in enumerate(candidates[image].tolist()):
            value, count = fit(image, groups.pids[number]) if number >= 0 else (float("nan"), 0)
            assert fits.other[image, slot].item() == pytest.approx(value, abs=1e-5, nan_ok=True)
            assert fits.other_count[image, slot] == count
    assert fits.own_count[pids == 99].tolist() == [0]


def test_fits_do_not_depend_on_the_size_of_a_block(measured, monkeypatch):
    _, groups, closeness, _, candidates = measured
    whole = measure_fits(closeness, groups, candidates)
    monkeypatch.setattr("fastreid.evaluation.label_suspects.fits._CELLS", 10)
    parts = measure_fits(closeness, groups, candidates)
    assert torch.allclose(whole.own, parts.own, equal_nan=True, atol=1e-6)
    assert torch.allclose(whole.other, parts.other, equal_nan=True, atol=1e-6)
