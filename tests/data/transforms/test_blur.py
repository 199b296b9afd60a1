from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.data.transforms import RandomBlur, build_transforms
from fastreid.utils.env import random_stream


@pytest.fixture
def image():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 24), dtype=np.uint8))


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0, 3.0])
def test_blur_is_the_gaussian_filter(image, sigma):
    from scipy.ndimage import gaussian_filter1d

    radius = int(np.ceil(3 * sigma))
    wanted = image.double().numpy()
    for axis in (1, 2):
        wanted = gaussian_filter1d(wanted, sigma, axis=axis, mode="mirror", radius=radius)
    output = RandomBlur(1.0, sigma=(sigma, sigma))(image)
    assert (output.dtype, output.shape) == (torch.uint8, image.shape)
    assert np.abs(output.double().numpy() - wanted).max() <= 0.501  # rounded


def test_sigma_is_drawn_from_its_range(image):
    """The rougher the output, the smaller sigma was."""

    def roughness(pixels):
        return pixels.double().diff(dim=1).abs().mean().item()

    least, most = (roughness(RandomBlur(1.0, sigma=(s, s))(image)) for s in (1.5, 0.5))
    found = []
    for position in range(100):
        with random_stream(0, position):
            found.append(roughness(RandomBlur(1.0, sigma=(0.5, 1.5))(image)))
    assert least <= min(found) < 1.1 * least
    assert 0.9 * most < max(found) <= most


def test_blur_comes_with_its_probability(image):
    changed = 0
    for position in range(200):
        with random_stream(0, position):
            changed += not torch.equal(RandomBlur(0.25, sigma=(1, 1))(image), image)
    assert 30 < changed < 70


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_image_that_is_smaller_than_the_gaussian(size):
    image = torch.full((3, *size), 77, dtype=torch.uint8)
    assert torch.equal(RandomBlur(1.0, sigma=(2, 2))(image), image)


def test_channels_that_are_last_in_memory_give_the_same(image):
    last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    transform = RandomBlur(1.0, sigma=(1, 1))
    assert torch.equal(transform(last), transform(image))


@pytest.mark.parametrize("sigma", [[0.0, 1.0], [2.0, 1.0], [1.0], [1.0, float("inf")], [float("nan"), 1.0], ["a", "b"]])
def test_impossible_sigma_is_an_error(sigma):
    cfg = get_cfg()
    cfg.INPUT.BLUR.ENABLED, cfg.INPUT.BLUR.SIGMA = True, sigma
    with pytest.raises(ValueError, match=r"INPUT.BLUR.SIGMA must be two numbers of pixels with 0 < least <= largest"):
        build_transforms(cfg)
