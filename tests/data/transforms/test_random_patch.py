from __future__ import annotations

import inspect

import pytest
import torch
from PIL import Image

from fastreid.data.transforms import RandomPatch
from fastreid.utils.env import random_stream


@pytest.fixture
def donors(tmp_path):
    """120 images, each of one grey value: its number."""
    paths = [str(tmp_path / f"{number:03d}.png") for number in range(120)]
    for number, path in enumerate(paths):
        Image.new("L", (10, 20), number).save(path)
    return paths


def patched(transform, position, size=(40, 20)):
    image = torch.full((3, *size), 255, dtype=torch.uint8)
    with random_stream(0, position):
        output = transform(image)
    assert (image == 255).all()  # the argument stays as it is
    return output


def test_parameters_are_those_of_old():
    names = list(inspect.signature(RandomPatch).parameters)
    assert names == ["prob_happen", "pool_capacity", "min_sample_size", "patch_min_area", "patch_max_area",
                     "patch_min_ratio", "prob_flip_leftright"]  # fmt: skip


def test_patch_is_a_rectangle_of_a_single_donor(donors):
    transform = RandomPatch(prob_happen=1.0).bind(donors)
    values, areas = set(), []
    for position in range(200):
        output = patched(transform, position)
        inside = output[0] != 255  # (H, W)
        assert inside.any()
        assert inside.sum() == inside.any(1).sum() * inside.any(0).sum()
        assert len(output[:, inside].unique()) == 1
        values.add(int(output[:, inside].unique()))
        areas.append(inside.float().mean())
    assert len(values) > 60  # any image may be the donor
    assert min(areas) < 0.05
    assert 0.3 < max(areas) < 0.55


def test_result_depends_on_the_stream_alone(donors):
    transform = RandomPatch().bind(donors)
    first = [patched(transform, position) for position in range(30)]
    again = [patched(transform, position) for position in reversed(range(30))][::-1]
    assert all(torch.equal(one, other) for one, other in zip(first, again))
    unchanged = sum(bool((output == 255).all()) for output in first)
    assert 5 < unchanged < 25  # a probability of one half


def test_too_few_images_leave_the_image_alone(donors):
    transform = RandomPatch(prob_happen=1.0).bind(donors[:99])
    assert all((patched(transform, position) == 255).all() for position in range(5))


def test_capacity_spreads_the_donors(donors):
    transform = RandomPatch(prob_happen=1.0, pool_capacity=3).bind(donors)
    values = set()
    for position in range(60):
        output = patched(transform, position)
        values |= set(output[output != 255].tolist())
    assert values == {0, 40, 80}


def test_without_images_it_says_what_to_do():
    with pytest.raises(
        RuntimeError, match=r"does not know them; use RandomPatch\(...\).bind\(img_paths\), or INPUT.RPT"
    ):
        RandomPatch()(torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_tiny_image_gets_no_patch(donors):
    assert (patched(RandomPatch(prob_happen=1.0).bind(donors), 0, size=(1, 1)) == 255).all()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_mirrored_patch(flip):
    patch = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    result = RandomPatch(prob_flip_leftright=flip).transform_patch(patch)
    assert torch.equal(result, patch.flip(-1) if flip else patch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_min_area": 0.6}, "patch areas need 0 < min <= max < 1, got 0.6 and 0.5"),
        ({"patch_min_ratio": 0}, r"patch_min_ratio must be in \(0, 1\], got 0"),
        ({"pool_capacity": 0}, "pool_capacity must be >= 1, got 0"),
        ({"prob_happen": 2}, r"prob_happen must be a probability in \[0, 1\], got 2"),
    ],
)
def test_impossible_parameters_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        RandomPatch(**options)


def test_patch_shares_no_memory_with_what_it_came_from(donors):
    """v1.3 kept views of whole images in a pool, and later stages wrote into them."""
    transform = RandomPatch(prob_happen=1.0).bind(donors)
    first = patched(transform, 3)
    wanted = first.clone()
    state = vars(transform).copy()
    patched(transform, 4).zero_()
    assert torch.equal(first, wanted)
    assert vars(transform) == state  # nothing is kept but the paths
    assert torch.equal(patched(transform, 3), wanted)
