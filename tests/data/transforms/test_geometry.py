"""Resize, crops, padding and flip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.transforms import build_transforms
from fastreid.utils.env import random_stream


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [32, 16]
    return cfg


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8))


rows, columns = np.mgrid[:60, :40]
SMOOTH = Image.fromarray(np.stack([rows * 4, columns * 6, (rows + columns) * 2], axis=-1).astype(np.uint8))


def pixels(image):
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("name", ["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"])
def test_resize_is_pils(cfg, image, name, is_train):
    cfg.INPUT.INTERPOLATION = name
    for height, width in ((32, 16), (256, 128), (61, 39)):  # smaller, larger, nearly the same
        cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [height, width]
        for source in (image, SMOOTH):
            resized = pixels(source.resize((width, height), Image.Resampling[name.upper()]))
            difference = (build_transforms(cfg, is_train)(source).double() - resized.double()).abs()
            # in grey levels; on tensors a last bit may differ, the others are PIL's own
            assert difference.mean() <= (0.05 if name in ("bicubic", "bilinear") else 0)
            assert difference.max() <= 2


@pytest.mark.parametrize("size", [[0], [0, 0], [0, 128]])
def test_zero_leaves_the_size(cfg, image, size):
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = size
    assert torch.equal(build_transforms(cfg)(image), pixels(image))
    assert torch.equal(build_transforms(cfg, is_train=False)(image), pixels(image))


def test_single_value_is_the_shorter_side(cfg, image):
    cfg.INPUT.SIZE_TRAIN = [20]
    assert build_transforms(cfg)(image).shape == (3, 30, 20)


@pytest.mark.parametrize("size", [[], [-1, 3], [3, 0], [1, 2, 3], [2.5, 3], [True, 3]])
@pytest.mark.parametrize(("key", "is_train"), [("SIZE_TRAIN", True), ("SIZE_TEST", False)])
def test_impossible_size_is_an_error(cfg, size, key, is_train):
    cfg.INPUT[key] = size
    with pytest.raises(ValueError, match=rf"INPUT.{key} must be \[height, width\] or \[shorter side\]"):
        build_transforms(cfg, is_train)


def test_unknown_interpolation_is_an_error(cfg):
    cfg.INPUT.INTERPOLATION = "cubic"
    with pytest.raises(ValueError, match=r"INPUT\.INTERPOLATION is 'cubic'; use one of nearest, .*bilinear, bicubic"):
        build_transforms(cfg)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_padding_and_cropping_shifts_the_image(cfg, image, mode):
    cfg.INPUT.PADDING.ENABLED = True
    cfg.INPUT.PADDING.SIZE = 3
    plain = build_transforms(cfg, is_train=False)(image).numpy()
    cfg.INPUT.PADDING.MODE = mode
    padded = np.pad(plain, ((0, 0), (3, 3), (3, 3)), mode=mode)
    shifts = [(top, left) for top in range(7) for left in range(7)]
    places = {padded[:, top : top + 32, left : left + 16].tobytes(): (top, left) for top, left in shifts}
    pipeline, seen = build_transforms(cfg), set()
    for position in range(400):
        with random_stream(0, position):
            seen.add(places[pipeline(image).numpy().tobytes()])
    assert len(seen) == 49  # every shift comes up, and nothing else


@pytest.mark.parametrize(
    ("size", "crop", "shape"), [([24], None, (24, 24)), ([32, 16], [20, 12], (20, 12)), ([0], [20], (20, 20))]
)
def test_crop_after_padding_has_the_former_size(cfg, image, size, crop, shape):
    cfg.INPUT.SIZE_TRAIN = size
    cfg.INPUT.PADDING.ENABLED = True
    if crop:
        cfg.INPUT.CROP.ENABLED = True
        cfg.INPUT.CROP.SIZE = crop
    assert build_transforms(cfg)(image).shape[1:] == shape


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SIZE", -1, "INPUT.PADDING.SIZE must be >= 0 pixels, got -1"),
        ("MODE", "wrap", "INPUT.PADDING.MODE is 'wrap'; use one of constant, edge, reflect, symmetric"),
    ],
)
def test_impossible_padding_is_an_error(cfg, key, value, message):
    cfg.INPUT.PADDING.ENABLED = True
    cfg.INPUT.PADDING[key] = value
    with pytest.raises(ValueError, match=message):
        build_transforms(cfg)


@pytest.mark.parametrize(("mode", "most"), [("reflect", 39), ("symmetric", 40)])
def test_mirror_shows_no_more_than_there_is(cfg, image, mode, most):
    cfg.INPUT.SIZE_TRAIN = [60, 40]
    cfg.INPUT.PADDING.ENABLED = True
    cfg.INPUT.PADDING.MODE = mode
    cfg.INPUT.PADDING.SIZE = most
    assert build_transforms(cfg)(image).shape == (3, 60, 40)
    cfg.INPUT.PADDING.SIZE = most + 1
    with pytest.raises(ValueError, match=rf"SIZE {most + 1} is more than MODE '{mode}' .* lower it to at most {most}"):
        build_transforms(cfg)


def test_padding_without_a_size_is_an_error(cfg):
    cfg.INPUT.PADDING.ENABLED = True
    cfg.INPUT.SIZE_TRAIN = [0]
    with pytest.raises(
        ValueError, match=r"PADDING.ENABLED needs a size to crop to, but INPUT.SIZE_TRAIN \[0\] means none"
    ):
        build_transforms(cfg)


def test_flip_comes_with_its_probability(cfg, image):
    cfg.INPUT.FLIP.ENABLED = True
    cfg.INPUT.FLIP.PROB = 0.3
    plain = build_transforms(cfg, is_train=False)(image)
    pipeline, flips = build_transforms(cfg), 0
    for position in range(500):
        with random_stream(0, position):
            output = pipeline(image)
        flips += torch.equal(output, plain.flip(-1))
        assert torch.equal(output, plain) or torch.equal(output, plain.flip(-1))
    assert 110 < flips < 190  # 150 and four standard deviations


def test_center_crop_of_a_test_image(cfg, image):
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [20, 10]
    plain = build_transforms(get_plain(cfg), is_train=False)(image)
    assert torch.equal(build_transforms(cfg, is_train=False)(image), plain[:, 6:26, 3:13])


def get_plain(cfg):
    plain = cfg.clone()
    plain.INPUT.CROP.ENABLED = False
    return plain


def test_random_resized_crop_of_everything_is_the_image(cfg):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 30, 3), dtype=np.uint8))
    cfg.INPUT.SIZE_TRAIN = [0]
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [30]
    cfg.INPUT.CROP.SCALE = [1.0, 1.0]
    cfg.INPUT.CROP.RATIO = [1.0, 1.0]
    assert torch.equal(build_transforms(cfg)(image), pixels(image))


@pytest.mark.parametrize(
    ("key", "value"), [("SCALE", [0, 1]), ("SCALE", [0.5]), ("SCALE", [1, 0.5]), ("RATIO", [-1, 1]), ("SIZE", [0, 3])]
)
def test_impossible_crop_is_an_error(cfg, key, value):
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP[key] = value
    with pytest.raises(ValueError, match=f"INPUT.CROP.{key} must be"):
        build_transforms(cfg)


def test_window_may_lie_in_the_padding(cfg, image):
    cfg.INPUT.SIZE_TRAIN = [6, 3]
    cfg.INPUT.PADDING.ENABLED = True
    pipeline, black = build_transforms(cfg), 0
    for position in range(60):
        with random_stream(0, position):
            output = pipeline(image)
        assert output.shape == (3, 6, 3)
        black += bool((output == 0).all())
    assert black > 0


def test_window_larger_than_the_padded_image_is_an_error(cfg, image):
    cfg.INPUT.SIZE_TRAIN = [0]
    cfg.INPUT.PADDING.ENABLED = cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.SIZE = [100, 20]
    cfg.INPUT.TRANSFORMS.TRAIN = ("pad_and_crop", "random_resized_crop")
    with pytest.raises(ValueError, match="cannot cut 100 x 20 out of an image of 60 x 40 pixels and 10 of padding"):
        build_transforms(cfg)(image)


def test_affine_turns_a_little_about_the_centre(cfg):
    """v1.3 handed torchvision arguments that it no longer has."""
    cfg.INPUT.SIZE_TRAIN = [0]
    cfg.INPUT.AFFINE.ENABLED = True
    picture = torch.zeros(3, 65, 65, dtype=torch.uint8)
    picture[:, 31:34, 31:34] = 255  # the middle
    picture[:, 31:34, 50:53] = 200  # 19 pixels beside it
    pipeline, angles, lengths = build_transforms(cfg), [], []
    for position in range(60):
        with random_stream(0, position):
            output = pipeline(picture)[0].double()
        assert output[32, 32] > 200
        output[24:41, 24:41] = 0
        y, x = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
        dy, dx = ((output * axis).sum() / output.sum() - 32 for axis in (y, x))
        angles.append(float(torch.rad2deg(torch.atan2(dy, dx))))
        lengths.append(float(torch.hypot(dy, dx)) / 19)
    assert -10.5 < min(angles) < -7
    assert 7 < max(angles) < 10.5
    assert 0.88 < min(lengths) < 0.93
    assert 1.07 < max(lengths) < 1.12
