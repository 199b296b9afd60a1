from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.transforms import LocalGrayscale, RandomGrayscale, build_transforms
from fastreid.data.transforms.grey import grey_picture
from fastreid.utils.env import random_stream


@pytest.fixture
def image():
    """Colours that are nowhere grey."""
    pixels = np.random.default_rng(0).integers(0, 128, (3, 60, 30), dtype=np.uint8)
    pixels[0] += 127
    pixels[2] //= 2
    return torch.from_numpy(pixels)


def grey_of(image):
    """PIL's, in three channels."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L").convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def test_grey_picture_is_that_of_pil(image):
    assert torch.equal(grey_picture(image).expand(3, -1, -1), grey_of(image))


def test_grey_image_stays_as_it_is():
    """With v2.functional.rgb_to_grayscale, which cuts, white would become 254."""
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).repeat(3, 1, 1)
    assert torch.equal(RandomGrayscale(1.0)(ramp), ramp)


def test_whole_image_becomes_grey_with_the_probability(image):
    transform, grey = RandomGrayscale(0.25), 0
    for position in range(400):
        with random_stream(0, position):
            output = transform(image)
        assert torch.equal(output, image) or torch.equal(output, grey_of(image))
        grey += not torch.equal(output, image)
    assert 70 < grey < 130


def test_rectangle_becomes_grey_and_the_rest_stays(image):
    transform, areas, before = LocalGrayscale(1.0, area=(0.1, 0.3)), [], image.clone()
    for position in range(200):
        with random_stream(0, position):
            output = transform(image)
        inside = (output != image).any(0)  # (H, W)
        rows, columns = inside.any(1), inside.any(0)
        assert torch.equal(inside, rows[:, None] & columns)  # a rectangle
        assert rows.nonzero().diff(dim=0).eq(1).all() and columns.nonzero().diff(dim=0).eq(1).all()
        assert torch.equal(output[:, inside], grey_of(image)[:, inside])
        areas.append(inside.float().mean())
    assert torch.equal(image, before)
    assert 0.09 < min(areas) < 0.12 and 0.28 < max(areas) < 0.31


def test_local_grayscale_comes_with_its_probability(image):
    changed = 0
    for position in range(400):
        with random_stream(0, position):
            changed += not torch.equal(LocalGrayscale(0.25)(image), image)
    assert 70 < changed < 130


def test_tiny_image_stays_as_it_is():
    image = torch.tensor([[[10]], [[200]], [[30]]], dtype=torch.uint8)
    assert torch.equal(LocalGrayscale(1.0)(image), image)


def test_config_says_how_large():
    cfg = get_cfg()
    node = cfg.INPUT.LOCAL_GRAYSCALE
    node.ENABLED, node.AREA, node.RATIO = True, [0.1, 0.2], 0.5
    assert repr(build_transforms(cfg).transforms[-1]) == "LocalGrayscale(prob=0.2, area=(0.1, 0.2), ratio=0.5)"
    node.AREA = [0.0, 0.2]
    with pytest.raises(ValueError, match=r"INPUT.LOCAL_GRAYSCALE.AREA must be .*, got \[0.0, 0.2\]"):
        build_transforms(cfg)
