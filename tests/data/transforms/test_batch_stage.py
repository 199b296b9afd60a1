"""Stages on a whole batch do what they do to single images, with the same draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from fastreid.config import get_cfg
from fastreid.data.transforms import ColorJitter, OnPil, RandomErasing, RandomHorizontalFlip, build_transforms
from fastreid.data.transforms.batch_stage import BatchStage, finish_batch
from fastreid.data.transforms.hue import shift_hue
from fastreid.utils.env import random_stream

STAGES = [
    RandomHorizontalFlip(0.5),
    RandomErasing(0.5, (123.675, 116.28, 103.53)),
    RandomErasing(1.0),
    ColorJitter(0.5, brightness=0.15, contrast=0.15, saturation=0.1, hue=0.1),
    ColorJitter(1.0, brightness=2.0, contrast=2.0, saturation=2.0, hue=0.5),
    ColorJitter(1.0, contrast=0.9),
    ColorJitter(1.0, hue=0.3),
    ColorJitter(0.0, hue=0.3),
]
ACTIVE = ("FLIP", "PADDING", "CJ", "REA")
ALL = ("horizontal_flip", "color_jitter", "random_erasing")


def pictures(count, height=20, width=12):
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8)


def one_by_one(stage, images):
    made = []
    for position, image in enumerate(images):
        with random_stream(3, position):
            made.append(stage(image))
    return torch.stack(made)


def in_a_batch(stage, images):
    drawn = []
    for position in range(len(images)):
        with random_stream(3, position):
            drawn.append(stage.draw(*images.shape[-2:]))
    return stage.apply(images, torch.stack(drawn))


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_batches_equal_single_images(stage):
    images = pictures(64)
    images[:3] = torch.tensor([0, 128, 255])[:, None, None, None]  # black, grey, white
    before = images.clone()
    batch = in_a_batch(stage, images)
    assert batch.dtype == torch.uint8
    assert torch.equal(batch, one_by_one(stage, images))
    assert torch.equal(images, before)


@pytest.mark.parametrize("stage", STAGES[:3], ids=repr)
def test_both_ways_draw_equally_much(stage):
    ends = []
    for way in (stage, lambda image: stage.draw(*image.shape[-2:])):
        with random_stream(1, 2):
            way(pictures(1)[0])
            ends.append((random.random(), torch.rand(()).item()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("stage", STAGES[3:], ids=repr)
def test_color_jitter_draws_and_does_what_torchvisions_does(stage):
    strengths = {name: getattr(stage, name) for name in ("brightness", "contrast", "saturation", "hue")}
    classic = v2.RandomApply([OnPil(v2.ColorJitter(**strengths))], p=stage.prob)
    images = pictures(40)
    assert torch.equal(one_by_one(stage, images), one_by_one(classic, images))


@pytest.mark.parametrize("shift", [0, 1, 25, 128, 255])
def test_hue_is_pils(shift):
    colours = np.random.default_rng(shift).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    colours[:20] = colours[:20, :, :1]  # grey
    hsv = np.array(Image.fromarray(colours).convert("HSV"))
    hsv[..., 0] += np.uint8(shift)
    wanted = np.array(Image.fromarray(hsv, mode="HSV").convert("RGB"))
    pixels = torch.from_numpy(colours).permute(2, 0, 1)[None].float()
    turned = shift_hue(pixels, torch.tensor([float(shift)]))[0].permute(1, 2, 0)
    assert np.array_equal(turned.numpy(), wanted)


def test_the_share_of_changed_images_is_the_probability():
    images = pictures(2000, 8, 4)
    for stage in (RandomHorizontalFlip(0.3), ColorJitter(0.3, hue=0.4)):
        changed = (in_a_batch(stage, images) != images).flatten(1).any(dim=1).float().mean()
        assert abs(changed - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_impossible_strength_is_an_error(name):
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, .*\], got -0\.1"):
        ColorJitter(**{name: -0.1})


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = [20, 12]
    for switch in ACTIVE:
        cfg.INPUT[switch].ENABLED = True
    return cfg


@pytest.mark.parametrize("on_device", [ALL, ALL[1:], ALL[2:], ("random_erasing", "color_jitter"), ALL[::-1]])
def test_a_pipeline_with_stages_on_the_device_makes_the_same_images(cfg, on_device):
    whole = build_transforms(cfg)
    cfg.INPUT.ON_DEVICE = on_device
    cut = build_transforms(cfg)
    assert list(cut.batch_stages) == [name for name in ALL if name in on_device]
    images = pictures(32, 30, 20)
    prepared = []
    for position, image in enumerate(images):
        with random_stream(3, position):
            prepared.append(cut.prepare(image))
    batch = {
        "images": torch.stack([pixels for pixels, _ in prepared]),
        "on_device": {name: torch.stack([drawn[name] for _, drawn in prepared]) for name in cut.batch_stages},
    }
    done = finish_batch(batch, cut.batch_stages)
    assert set(done) == {"images"} and "on_device" in batch
    assert torch.equal(done["images"], one_by_one(whole, images))
    assert torch.equal(one_by_one(cut, images), done["images"])  # called, it does everything
    assert finish_batch(done, cut.batch_stages)["images"] is done["images"]


def test_stages_that_are_off_may_be_named(cfg):
    cfg.INPUT.CJ.ENABLED = False
    cfg.INPUT.ON_DEVICE = ALL
    assert list(build_transforms(cfg).batch_stages) == ["horizontal_flip", "random_erasing"]
    assert not build_transforms(cfg, is_train=False).batch_stages


@pytest.mark.parametrize(
    ("on_device", "text"),
    [
        (("horizontal_flop",), r"names 'horizontal_flop', which is not in INPUT\.TRANSFORMS\.TRAIN"),
        (("horizontal_flip",), r"'horizontal_flip' is to run on the device, but 'color_jitter', which comes after it"),
        (("pad_and_crop", *ALL), r"'pad_and_crop' cannot run on the device, because it is no BatchStage"),
    ],
)
def test_what_cannot_be_on_the_device_is_an_error(cfg, on_device, text):
    cfg.INPUT.ON_DEVICE = on_device
    with pytest.raises(ValueError, match=text):
        build_transforms(cfg)


def test_a_stage_that_is_there_twice_cannot_be_on_the_device(cfg):
    cfg.INPUT.TRANSFORMS.TRAIN = (*cfg.INPUT.TRANSFORMS.TRAIN, "horizontal_flip")
    cfg.INPUT.ON_DEVICE = ALL
    with pytest.raises(ValueError, match=r"a stage that is in .* twice"):
        build_transforms(cfg)


def test_a_stage_of_ones_own_is_two_functions():
    class Darken(BatchStage):
        def draw(self, height, width):
            return torch.rand(1)

        def apply(self, images, parameters):
            return (images * parameters[:, :, None, None]).to(torch.uint8)

    images = pictures(5)
    assert torch.equal(in_a_batch(Darken(), images), one_by_one(Darken(), images))
    for part in ("draw(height, width)", "apply(images, parameters)"):
        with pytest.raises(NotImplementedError) as error:
            getattr(BatchStage(), part.split("(")[0])(1, 2)
        assert part in str(error.value)
