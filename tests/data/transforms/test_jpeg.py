from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.transforms import RandomJpeg, build_transforms
from fastreid.utils.env import random_stream


@pytest.fixture
def image():
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8))
    return torch.from_numpy(np.array(small.resize((36, 48), Image.Resampling.BICUBIC))).permute(2, 0, 1)


def through_pil(image, quality):
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_result_is_that_of_a_jpeg_of_the_quality(image, quality):
    output = RandomJpeg(1.0, quality=(quality, quality))(image)
    assert (output.dtype, output.shape) == (torch.uint8, image.shape)
    assert torch.equal(output, through_pil(image, quality))
    assert not torch.equal(output, image)
    error = (output.int() - image.int()).abs().float().mean()
    assert error < {10: 25, 50: 12, 95: 4}[quality]  # it is still the image, the better the higher the quality


def test_every_quality_of_the_range_is_drawn(image):
    wanted = {quality: RandomJpeg(1.0, quality=(quality, quality))(image) for quality in (20, 21, 22)}
    drawn = set()
    for position in range(60):
        with random_stream(0, position):
            output = RandomJpeg(1.0, quality=(20, 22))(image)
        drawn |= {quality for quality, same in wanted.items() if torch.equal(output, same)}
    assert drawn == {20, 21, 22}


def test_compression_comes_with_its_probability(image):
    changed = 0
    for position in range(200):
        with random_stream(0, position):
            changed += not torch.equal(RandomJpeg(0.25)(image), image)
    assert 30 < changed < 70


@pytest.mark.parametrize(
    "quality", [[0, 50], [60, 50], [50, 101], [50], [30.5, 50], [1, float("inf")], [float("nan"), 5], ["a", "b"]]
)
def test_impossible_quality_is_an_error(quality):
    cfg = get_cfg()
    cfg.INPUT.JPEG.ENABLED, cfg.INPUT.JPEG.QUALITY = True, quality
    with pytest.raises(ValueError, match=r"INPUT.JPEG.QUALITY must be two whole numbers with 1 <= least <= largest <="):
        build_transforms(cfg)


def test_whole_numbers_may_be_written_as_floats(image):
    transform = RandomJpeg(1.0, quality=(50.0, 50.0))
    assert transform.quality == (50, 50)
    assert all(isinstance(value, int) for value in transform.quality)
    assert torch.equal(transform(image), through_pil(image, 50))
