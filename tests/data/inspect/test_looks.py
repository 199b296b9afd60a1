from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fastreid.data.inspect.looks import MOST_BITS, MOST_LEVELS, colours, gradients, near_groups


def picture(seed, size=(64, 128)):
    """Draw soft blobs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def bits(hashes):
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8))


def test_gradients_are_the_signs_of_differences():
    image = picture(0)
    grey = image.convert("L")
    right = np.asarray(grey.resize((9, 8), Image.Resampling.BOX)).astype(int)
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX)).astype(int)
    expected = [right[y, x + 1] > right[y, x] for y in range(8) for x in range(8)]
    expected += [down[y + 1, x] > down[y, x] for y in range(8) for x in range(8)]
    found = gradients(image)
    assert (found.shape, found.dtype) == ((2,), np.uint64)
    assert bits(found).tolist() == expected


def test_colours_are_the_means_of_sixteen_parts():
    pixels = np.asarray(picture(1)).astype(float)
    expected = [
        pixels[32 * y : 32 * y + 32, 16 * x : 16 * x + 16].mean(axis=(0, 1)) for y in range(4) for x in range(4)
    ]
    np.testing.assert_allclose(colours(picture(1)), np.ravel(expected), atol=1)


def test_a_scaled_copy_is_near_and_another_image_is_not():
    images = [
        picture(0),
        picture(0).resize((96, 200)),
        picture(1),
        picture(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ]
    groups = near_groups(
        np.stack([gradients(image) for image in images]), np.stack([colours(image) for image in images])
    )
    assert groups.tolist() == [0, 0, 2, 3]


def test_groups_equal_their_definition():
    rng = np.random.default_rng(0)
    count = 150
    rows = rng.integers(0, 2, (count, 128), dtype=np.uint8)
    means = rng.integers(100, 110, (count, 48), dtype=np.uint8)
    for place in range(0, count, 2):  # every second one is like the one before, with more and more bits changed
        source = rng.integers(0, place + 1)
        rows[place] = rows[source]
        rows[place, rng.permutation(128)[: rng.integers(0, 13)]] ^= 1
        means[place] = means[source] + rng.integers(0, 7)
    hashes = np.packbits(rows, axis=1).view(np.uint64)

    expected = list(range(count))  # the definition, as loops
    for _ in range(count):
        before = list(expected)
        for a in range(count):
            for b in range(count):
                different = int((rows[a] != rows[b]).sum())
                levels = np.abs(means[a].astype(int) - means[b].astype(int)).mean()
                if different <= MOST_BITS and levels <= MOST_LEVELS:
                    expected[a] = expected[b] = min(expected[a], expected[b])
        if before == expected:
            break
    assert 10 < len(set(expected)) < count - 10
    assert near_groups(hashes, means).tolist() == expected


@pytest.mark.parametrize("band", range(9))
def test_bits_of_one_band_may_all_differ(band):
    rows = np.zeros((2, 128), dtype=np.uint8)
    rows[1, np.arange(band, 128, 9)[:MOST_BITS]] = 1
    means = np.zeros((2, 48), dtype=np.uint8)
    assert near_groups(np.packbits(rows, axis=1).view(np.uint64), means).tolist() == [0, 0]
    rows[1, np.flatnonzero(rows[1] == 0)[0]] = 1
    assert near_groups(np.packbits(rows, axis=1).view(np.uint64), means).tolist() == [0, 1]


def test_one_bit_of_each_band_but_one_may_differ():
    rows = np.zeros((2, 128), dtype=np.uint8)
    rows[1, :MOST_BITS] = 1
    means = np.zeros((2, 48), dtype=np.uint8)
    assert near_groups(np.packbits(rows, axis=1).view(np.uint64), means).tolist() == [0, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_few_images_have_no_copies(count):
    assert near_groups(np.zeros((count, 2), np.uint64), np.zeros((count, 48), np.uint8)).tolist() == list(range(count))


def test_many_equal_hashes_take_no_more_memory_than_images():
    count = 1000
    groups = near_groups(np.zeros((count, 2), np.uint64), np.zeros((count, 48), np.uint8))
    assert set(groups.tolist()) == {0}
