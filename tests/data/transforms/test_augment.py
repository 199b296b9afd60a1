"""AutoAugment, AugMix, colour jitter, random erasing and the tensor."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.transforms import AugMix, AutoAugment, ToTensor, build_transforms
from fastreid.data.transforms.autoaugment import AutoAugment as SameAutoAugment
from fastreid.utils.env import random_stream


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8))


def test_autoaugment_has_the_25_policies_of_imagenet():
    augment = AutoAugment()
    assert SameAutoAugment is AutoAugment
    assert len(augment._policies) == 25
    assert augment._policies[0] == (("Posterize", 0.4, 8), ("Rotate", 0.6, 9))
    assert augment._policies[24] == (("Equalize", 0.8, None), ("Equalize", 0.6, None))


def test_autoaugment_uncovers_grey():
    corners = set()
    for position in range(200):
        with random_stream(0, position):
            corners.add(AutoAugment()(Image.new("RGB", (40, 60), (200, 100, 50))).getpixel((0, 0)))
    assert (128, 128, 128) in corners
    assert (0, 0, 0) not in corners


def test_augmix_keeps_the_parameters_of_old():
    assert str(inspect.signature(AugMix)).startswith(
        "(prob: 'float' = 0.5, aug_prob_coeff: 'float' = 0.1, mixture_width: 'int' = 3, "
        "mixture_depth: 'int' = 1, aug_severity: 'int' = 1)"
    )


@pytest.mark.parametrize(("prob", "changes"), [(0.0, False), (1.0, True)])
def test_augmix_comes_with_its_probability(image, prob, changes):
    augment, plain = AugMix(prob=prob), np.asarray(image)
    outputs = []
    for position in range(20):
        with random_stream(0, position):
            outputs.append(np.asarray(augment(image)))
    assert any((output != plain).any() for output in outputs) == changes
    assert {output.shape for output in outputs} == {plain.shape}


def test_erased_rectangle_has_the_value_of_the_config():
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = [40, 20]
    cfg.INPUT.REA.ENABLED = True
    cfg.INPUT.REA.PROB = 1.0
    pipeline = build_transforms(cfg)
    for position in range(20):
        with random_stream(0, position):
            output = pipeline(Image.new("RGB", (20, 40), (1, 2, 3)))
        erased = output[0] != 1  # (H, W)
        # 123.675, 116.28 and 103.53 to the nearest integer
        assert [channel[erased].unique().tolist() for channel in output] == [[124], [116], [104]]
        rows, columns = erased.any(1).sum(), erased.any(0).sum()
        assert erased.sum() == rows * columns
        assert 0.01 < erased.float().mean() < 0.36
        assert output[:, ~erased].unique(dim=1).squeeze().tolist() == [1, 2, 3]


@pytest.mark.parametrize("value", [[1.0, 2.0], [0.0, 0.0, 256.0], [-1.0, 0.0, 0.0]])
def test_impossible_erasing_value_is_an_error(value):
    cfg = get_cfg()
    cfg.INPUT.REA.ENABLED = True
    cfg.INPUT.REA.VALUE = value
    with pytest.raises(ValueError, match=r"INPUT.REA.VALUE must be three numbers \(RGB\) in 0..255, got"):
        build_transforms(cfg)


@pytest.mark.parametrize(("key", "value"), [("BRIGHTNESS", -0.1), ("HUE", 0.6), ("CONTRAST", -1.0)])
def test_impossible_jitter_is_an_error(key, value):
    cfg = get_cfg()
    cfg.INPUT.CJ.ENABLED = True
    cfg.INPUT.CJ[key] = value
    with pytest.raises(ValueError, match=rf"INPUT.CJ.{key} must be in \[0, (inf|0.5)\], got {value}"):
        build_transforms(cfg)


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 4), (7, 3)])
def test_tensor_is_the_image_and_shares_nothing_with_it(size):
    array = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for source in (array, Image.fromarray(array)):
        tensor = ToTensor()(source)
        assert tensor.dtype == torch.uint8
        assert tensor.is_contiguous()
        assert tensor.tolist() == [
            [[int(array[y, x, c]) for x in range(size[1])] for y in range(size[0])] for c in range(3)
        ]
        tensor.zero_()
        assert np.asarray(source).sum() > 0


def test_tensor_of_a_grey_image_has_three_channels():
    assert ToTensor()(Image.new("L", (2, 3), 7)).tolist() == torch.full((3, 3, 2), 7).tolist()


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_an_error(array):
    with pytest.raises(ValueError, match=r"uint8 array \(H, W, 3\) in 0..255; got (uint8|float64) \("):
        ToTensor()(array)
